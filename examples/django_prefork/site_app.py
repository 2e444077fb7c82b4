"""A Django site in one file: accounts in SQLite, cached in every prefork worker.

FASTCOORD_SERVERS=nats://127.0.0.1:4222 ACCOUNTS=accounts.sqlite gunicorn site_app:application
"""

import os
import threading
from collections.abc import Iterable
from contextlib import ExitStack
from typing import Any

import django
import msgspec
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.db import connection, transaction
from django.http import HttpRequest, JsonResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt

import fastcoord
from fastcoord import blocking
from fastcoord.cache import BlockingCache

settings.configure(
    ALLOWED_HOSTS=["127.0.0.1"],
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": os.environ.get("ACCOUNTS", "accounts.sqlite"),
            "OPTIONS": {"timeout": 30},
        }
    },
    ROOT_URLCONF=__name__,
    SECRET_KEY=os.environ.get("SECRET_KEY", "only for this example"),
)
django.setup()


@fastcoord.event(kind=1)
class AccountChanged(msgspec.Struct, frozen=True):
    account: int


def load_account(account: int) -> str | None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT name FROM accounts WHERE id = %s", [account])
        row = cursor.fetchone()
    return row[0] if row else None


def keys_of(event: AccountChanged) -> Iterable[int]:
    return [event.account]


class Bus:
    """The node and the cache of one worker process."""

    def __init__(self) -> None:
        self._open = ExitStack()
        self.node = self._open.enter_context(
            blocking.connect(node_id="auto", protocol="fastcoord-1")
        )
        self.accounts = self._open.enter_context(
            BlockingCache(self.node, load_account, keys=keys_of, kinds=[AccountChanged])
        )

    def close(self) -> None:
        self._open.close()


_bus: Bus | None = None
_lock = threading.Lock()


def bus() -> Bus:
    """Connect at the first request of this process: a node does not survive a fork."""
    global _bus
    with _lock:
        if _bus is None:
            _bus = Bus()
        return _bus


def close() -> None:
    """Close the node of this process, if there is one."""
    if _bus is not None:
        _bus.close()


def read_account(request: HttpRequest, account: int) -> JsonResponse:
    name = bus().accounts.get(account)
    found = {"name": name, "worker": bus().node.node_id, "hits": bus().accounts.stats().hits}
    return JsonResponse(found, status=404 if name is None else 200)


@csrf_exempt
def write_account(request: HttpRequest, account: int, name: str) -> JsonResponse:
    def tell() -> None:
        bus().accounts.publish(AccountChanged(account))

    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("REPLACE INTO accounts VALUES (%s, %s)", [account, name])
        # First commit, then publish: an event before it would let others load the old name.
        transaction.on_commit(tell)
    return JsonResponse({"worker": bus().node.node_id})


def create_table() -> None:
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE IF NOT EXISTS accounts (id INTEGER PRIMARY KEY, name TEXT)")
    # The workers must not inherit the connection.
    connection.close()


urlpatterns: list[Any] = [
    path("accounts/<int:account>", read_account),
    path("accounts/<int:account>/<str:name>", write_account),
]
create_table()
application = get_wsgi_application()
