"""Read the HTTP monitoring of a server."""

from __future__ import annotations

import http.client
import json
from typing import Any, cast
from urllib.parse import urlencode, urlsplit

from fastcoord.errors import ServerError

__all__ = ["read_page"]

TIMEOUT = 5.0
"""Seconds."""


def read_page(url: str, path: str, query: dict[str, Any]) -> dict[str, Any]:
    """Read one page.

    :param url: the root URL of the monitoring.
    :param path: the page, for example ``varz``.
    :param query: the parameters of the page.
    :raises ServerError: the server does not answer within five seconds.
    """
    target = urlsplit(url)
    # urllib would use a proxy from the environment.
    connection = http.client.HTTPConnection(str(target.hostname), target.port, timeout=TIMEOUT)
    try:
        connection.request("GET", f"/{path}?{urlencode(query)}")
        return cast("dict[str, Any]", json.loads(connection.getresponse().read()))
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise ServerError(f"{url}/{path} gave no answer: {error}") from error
    finally:
        connection.close()
