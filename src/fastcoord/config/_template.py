"""Write a commented TOML configuration to start from."""

from __future__ import annotations

import re
from typing import Literal

from fastcoord.config._describe import value_text
from fastcoord.config._document import quoted
from fastcoord.config._model import Address, Cluster, Config, Nats
from fastcoord.config._settings import CLUSTER, STORE, Setting
from fastcoord.config._url import split_servers

__all__ = ["template"]

_TOML = re.compile(r'\d+|true|false|".*"')

_EXAMPLES = {
    "user": '"node"',
    "password": '"%{env:NATS_PASSWORD}%"',
    "credentials": '"%{file:node.creds}%"',
    "tls.ca-file": '"ca.pem"',
    "tls.cert-file": '"node.pem"',
    "tls.key-file": '"node.key"',
    "max-reconnects": "false",
    "stream": '"AGORA"',
    "stream-domain": '"hub"',
}
"""Values for settings that have no default."""


def template(*, addresses: list[str], node_id: int | Literal["auto"], protocol: str) -> str:
    """Write a configuration with every setting; settings with a default are commented out.

    :param addresses: the addresses of the servers; an element may have several, as in a URL.
    :param node_id: the node id, or ``"auto"``.
    :param protocol: the wire protocol.
    :return: the TOML.
    """
    config = Config(
        nats=Nats(address=(Address(host="localhost"),)),
        cluster=Cluster(node_id=node_id, protocol=protocol),
    )
    given = {
        "address": f"[{', '.join(map(quoted, _split(addresses)))}]",
        "coordinator": '"nats"',
        "node-id": quoted(node_id) if isinstance(node_id, str) else str(node_id),
        "protocol": quoted(protocol),
    }
    lines = ['[store."nats"]', 'type = "nats"']
    lines += [_line(setting, config.nats, given) for setting in STORE.values()]
    lines += ["", "[cluster]"]
    lines += [_line(setting, config.cluster, given) for setting in CLUSTER.values()]
    return "\n".join(lines)


def _split(addresses: list[str]) -> list[str]:
    """Separate addresses that have commas between them; a scheme applies to all that follow."""
    if any("@" in each for each in addresses):
        return addresses  # The parser of the configuration refuses logins in addresses.
    return [str(each) for each in split_servers(addresses).addresses]


def _line(setting: Setting, defaults: object, given: dict[str, str]) -> str:
    key = setting.key
    if key in given:
        line = f"{key} = {given[key]}"
    else:
        value = _EXAMPLES.get(key) or value_text(defaults, key)
        line = f"# {key} = {value if _TOML.fullmatch(value) else quoted(value)}"
    return f"{line:<42}  # {setting.meaning}"
