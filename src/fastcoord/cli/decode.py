"""``fastcoord decode``: decode one captured payload, in one protocol or in all of them."""

from __future__ import annotations

import base64
import binascii
import json
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

from fastcoord._codec import decode_batch
from fastcoord.cli.event_text import event_text
from fastcoord.cli.running import CommandFailed, ask_for_input
from fastcoord.config import PROTOCOLS
from fastcoord.errors import DecodeError
from fastcoord.events import to_builtins

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from fastcoord.events import Event

__all__ = ["configure", "run"]

DESCRIPTION = """\
Decode the payload of one message, from the argument or from standard input. Without --protocol,
decode it in every protocol and show which of them read it to the end.

Without --hex or --base64, a payload that can be hexadecimal is read as hexadecimal, and any other
one as base64. `fastcoord publish` reads bytes as base64 unless they begin with hex: or text:.

example: fastcoord decode 03002a0307
         nats sub --raw --count 1 stwt.agora | base64 | fastcoord decode --base64
"""

LONGEST_TEXT = 256 * 1024 * 1024
"""More characters than the largest payload has in hexadecimal or base64."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the description and the arguments of the command."""
    parser.description = DESCRIPTION
    parser.add_argument(
        "payload",
        nargs="?",
        metavar="PAYLOAD",
        help="the payload (default: read it from standard input)",
    )
    parser.add_argument(
        "--protocol", choices=PROTOCOLS, metavar="NAME", help=f"one of {', '.join(PROTOCOLS)}"
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument(
        "--hex", action="store_const", const="hex", dest="form", help="read hexadecimal"
    )
    form.add_argument(
        "--base64", action="store_const", const="base64", dest="form", help="read base64"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object for each protocol")


class Reading(NamedTuple):
    """The result of decoding a payload in one protocol."""

    protocol: str
    node_id: int | None
    events: Sequence[Event]
    offset: int | None
    """The byte at which decoding stopped; ``None`` if the payload was read to the end."""
    reason: str


def run(arguments: argparse.Namespace) -> int:
    """Decode a payload and print its events.

    :param arguments: the parsed arguments.
    :return: the exit status: 1 if no protocol reads the payload to its end.
    :raises CommandFailed: the text is neither hexadecimal nor base64.
    """
    text = _read_input() if arguments.payload is None else arguments.payload
    payload, form = to_bytes(text, arguments.form)
    if form != (arguments.form or "hex"):
        print(f"fastcoord: the payload is not hexadecimal: it was read as {form}", file=sys.stderr)
    names = PROTOCOLS if arguments.protocol is None else (arguments.protocol,)
    readings = [_read(payload, name) for name in names]
    write = _print_json if arguments.json else _print_text
    write(readings, len(payload))
    return 0 if any(reading.offset is None for reading in readings) else 1


def _read_input() -> str:
    ask_for_input("the payload")
    try:
        # More would only be refused after it has filled the memory.
        text = sys.stdin.read(LONGEST_TEXT + 1)
    except UnicodeDecodeError:
        raise CommandFailed("standard input is not text: give hexadecimal or base64") from None
    if len(text) > LONGEST_TEXT:
        raise CommandFailed(f"standard input has more than {LONGEST_TEXT:,} characters")
    return text


def to_bytes(text: str, form: str | None) -> tuple[bytes, str]:
    """Convert hexadecimal digits or base64 to bytes.

    :param text: the text; white space is ignored.
    :param form: ``"hex"`` or ``"base64"``; ``None`` tries hexadecimal first.
    :return: the bytes, and ``"hex"`` or ``"base64"``.
    :raises CommandFailed: the text is neither.
    """
    compact = "".join(text.split())
    digits = compact.removeprefix("0x").replace(":", "")
    if not compact:
        raise CommandFailed("there is no payload: give hexadecimal digits or base64")
    if form != "base64":
        try:
            return binascii.unhexlify(digits), "hex"
        except ValueError as error:
            if form == "hex":
                raise CommandFailed(f"the payload is not hexadecimal: {error}") from None
    try:
        standard = compact.replace("-", "+").replace("_", "/").rstrip("=")
        return base64.b64decode(standard + "=" * (-len(standard) % 4), validate=True), "base64"
    except ValueError as error:
        kind = "base64" if form else "hexadecimal or base64"
        raise CommandFailed(f"the payload is not {kind}: {error}") from None


def _read(payload: bytes, protocol: str) -> Reading:
    try:
        batch = decode_batch(payload, protocol=protocol)
    except DecodeError as error:
        return Reading(protocol, error.node_id, error.decoded, error.offset, error.message)
    return Reading(protocol, batch.node_id, list(batch), None, "")


def _print_json(readings: Sequence[Reading], size: int) -> None:
    for reading in readings:
        line: dict[str, Any] = {
            "protocol": reading.protocol,
            "node_id": reading.node_id,
            "bytes": size,
            "complete": reading.offset is None,
            "offset": reading.offset,
            "error": reading.reason or None,
            "events": [to_builtins(event) for event in reading.events],
        }
        print(json.dumps(line))


def _print_text(readings: Sequence[Reading], size: int) -> None:
    width = max(len(reading.protocol) for reading in readings)
    for reading in readings:
        node = "no node id" if reading.node_id is None else f"node {reading.node_id}"
        count = len(reading.events)
        events = f"{count} event{'' if count == 1 else 's'}"
        state = f"all {size} bytes" if reading.offset is None else f"stopped: {reading.reason}"
        print(f"{reading.protocol:<{width}}  {node}  {events}  {state}")
        for event in reading.events:
            print(f"{'':<{width}}    {event_text(event)}")
