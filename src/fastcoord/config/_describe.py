"""List every setting in effect."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastcoord.config._document import quoted
from fastcoord.config._model import Address, Config
from fastcoord.config._settings import CLUSTER, STORE
from fastcoord.config._values import BYTES, MILLISECONDS

__all__ = ["as_builtins", "describe", "doubtful_settings", "value_text"]

MAX_VALUE_WIDTH = 40
_NONE = "none"
ENDS_AT_FIRST_LOSS = (
    "max-reconnects = 0: this node ends at the first loss of its connection, whereas Stalwart"
    " reconnects; leave the key out to reconnect without limit"
)
_UNSET = {"max-reconnects": "no limit", "pace": "auto"}
"""What ``None`` means, for the keys where it does not mean that there is none."""


def describe(config: Config, sources: Mapping[str, str] | None = None) -> str:
    """List every setting in effect with its TOML key, one on each line, in columns.

    Secrets are shown as ``***``. The listing depends only on the settings, not on how they were
    written.

    :param config: the configuration.
    :param sources: the place of each given setting, by its key. With this argument, the last column
        of the listing shows the place, or ``default``.
    :return: the listing, without a newline at its end.
    """
    rows = [(name, value_text(section, key)) for name, section, key in _settings(config)]
    width = max(len(key) for key, _ in rows)
    if sources is None:
        return "\n".join(f"{key:<{width}}  {value}" for key, value in rows)
    value_width = min(MAX_VALUE_WIDTH, max(len(value) for _, value in rows))
    return "\n".join(
        f"{key:<{width}}  {value:<{value_width}}  {sources.get(key, 'default')}"
        for key, value in rows
    )


def as_builtins(config: Config, sources: Mapping[str, str]) -> list[dict[str, Any]]:
    """List every setting in effect as plain values for JSON.

    :param config: the configuration.
    :param sources: the place of each given setting, by its key.
    :return: a dict for each setting: its key as ``setting``, ``value``, and ``source``, which is
        the place or ``default``. Durations are texts such as ``"2s"``. Secrets are ``"***"``.
    """
    return [
        {
            "setting": name,
            "value": _plain_value(_value(section, key), key),
            "source": sources.get(name, "default"),
        }
        for name, section, key in _settings(config)
    ]


def doubtful_settings(config: Config) -> list[str]:
    """Describe the settings that are valid and probably not what the user wants.

    :param config: the configuration.
    :return: a sentence for each one.
    """
    if config.nats.max_reconnects != 0:
        return []
    return [ENDS_AT_FIRST_LOSS]


def value_text(section: object, key: str) -> str:
    """Write the value of one setting.

    :param section: the struct of the section that has the setting.
    :param key: the TOML key within the section.
    :return: the text.
    """
    value = _value(section, key)
    if value is None:
        return _UNSET.get(key, _NONE)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return _duration(value)
    if key.endswith("-bytes") and isinstance(value, int):
        return _size(value)
    if isinstance(value, tuple):
        return ", ".join(_address(each) for each in value)
    return quoted(value) if isinstance(value, str) else str(value)


def _settings(config: Config) -> list[tuple[str, object, str]]:
    """Return each setting: its full TOML key, its section, and its key within the section."""
    prefix = f"store.{quoted(config.nats.id)}."
    settings: list[tuple[str, object, str]] = [(prefix + key, config.nats, key) for key in STORE]
    return settings + [(f"cluster.{key}", config.cluster, key) for key in CLUSTER]


def _value(section: object, key: str) -> object:
    value = section
    for name in key.split("."):
        value = getattr(value, name.replace("-", "_"))
    return value


def _plain_value(value: object, key: str) -> object:
    if value is None and key == "pace":
        return _UNSET[key]
    if isinstance(value, float):
        return _duration(value)
    if isinstance(value, tuple):
        return [_address(each) for each in value]
    return value if value is None or isinstance(value, bool | int | str) else str(value)


def _address(address: Address) -> str:
    return f"tls://{address}" if address.tls else str(address)


def _duration(seconds: float) -> str:
    milliseconds = round(seconds * 1000)
    for unit in ("d", "h", "m", "s"):
        if milliseconds and milliseconds % MILLISECONDS[unit] == 0:
            return f"{milliseconds // MILLISECONDS[unit]}{unit}"
    return f"{milliseconds}ms"


def _size(size: int) -> str:
    for unit in ("gb", "mb", "kb"):
        if size and size % BYTES[unit] == 0:
            return f"{size // BYTES[unit]}{unit.upper()}"
    return str(size)
