"""The installed nats-py: the range that is required, and an error where it cannot be used."""

import re
from pathlib import Path

import nats.aio.client
import pytest
import tomli
from nats.aio.client import Client

import fastcoord
from fastcoord.nats import compat

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _forget_the_check() -> None:
    compat.check_installed.cache_clear()


def requirement() -> str:
    project = tomli.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    (found,) = [each for each in project["dependencies"] if each.startswith("nats-py")]
    return str(found)


def test_required_range_is_the_tested_one() -> None:
    assert requirement() == f"nats-py[nkeys]{compat.TESTED_VERSIONS}"
    assert compat.TESTED_VERSIONS == ">=2.16,<3"


def test_installed_version_is_accepted() -> None:
    assert compat.missing_attributes() == []
    compat.check_installed()


async def test_missing_attribute_raises_one_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    made = Client.__init__

    def without_transport(self: Client, *arguments: object, **options: object) -> None:
        made(self, *arguments, **options)
        del self._transport

    monkeypatch.setattr(Client, "__init__", without_transport)
    monkeypatch.setattr(nats.aio.client, "__version__", "9.9.9")
    config = fastcoord.parse_config(
        '[store."n"]\ntype = "nats"\naddress = "127.0.0.1:1"\n[cluster]\ncoordinator = "n"\n'
    )
    with pytest.raises(fastcoord.IncompatibleNatsPy) as caught:
        await fastcoord.connect(config)
    assert re.fullmatch(
        r"fastcoord \S+ does not work with nats-py 9\.9\.9 \(missing: Client\._transport\): "
        r"install nats-py>=2\.16,<3",
        str(caught.value),
    )


def test_unused_attribute_counts_as_missing() -> None:
    class Renamed:
        def __init__(self) -> None:
            self._transport = None

    assert compat.missing_attributes(Renamed) == ["the use of Client._transport"]


def test_new_abstract_method_counts_as_missing() -> None:
    class Grown(compat.MessageTransport):
        pass

    Grown.__abstractmethods__ = frozenset({"compress"})
    assert compat.missing_attributes(transport_class=Grown) == [
        "a Transport without the new methods compress"
    ]
