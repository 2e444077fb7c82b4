"""The JetStream stream of one run of ``fastcoord bench --stream``."""

from __future__ import annotations

import contextlib
import secrets
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import msgspec

from fastcoord.cli.administrator import Administrator
from fastcoord.errors import FastcoordError
from fastcoord.streaming.settings import stream_settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from fastcoord import Config
    from fastcoord.tuning.run import StreamMaker

__all__ = ["note_unused_stream", "stream_maker", "temporary_stream"]

MAX_BYTES = 256 * 1024 * 1024
MAX_AGE = 3600.0


def stream_maker(is_wanted: bool) -> StreamMaker | None:
    """Return what makes the stream of a run, or ``None`` for plain NATS."""
    return temporary_stream if is_wanted else None


def note_unused_stream(config: Config, is_wanted: bool) -> None:
    """Print a note if the nodes of a configuration use a stream, and the runs do not.

    :param config: the configuration.
    :param is_wanted: whether the runs use a stream.
    """
    if config.cluster.stream is not None and not is_wanted:
        print(
            "fastcoord: the configuration has a stream, but these runs use plain NATS; --stream"
            " measures with a stream of their own",
            file=sys.stderr,
        )


@asynccontextmanager
async def temporary_stream(config: Config, subject: str) -> AsyncIterator[str]:
    """Make a stream for the subject of one run, and delete it afterwards.

    :param config: the configuration of the server.
    :param subject: the subject of the run.
    :return: a context that gives the name of the stream.
    :raises StreamError: JetStream refuses the stream.
    """
    name = f"FASTCOORD_BENCH_{secrets.token_hex(6)}"
    replace = msgspec.structs.replace
    cluster = replace(
        config.cluster, subject=subject, presence_subject=f"{subject}.fastcoord", stream=name
    )
    own = replace(config, cluster=cluster)
    try:
        async with Administrator(own) as admin:
            await admin.jetstream.create_stream(
                stream_settings(own, max_age=MAX_AGE, max_bytes=MAX_BYTES)
            )
        yield name
    finally:
        # A stream also exists if only the answer to its creation was lost. Without a server it
        # cannot be deleted, and the run has failed for this reason.
        with contextlib.suppress(FastcoordError):
            async with Administrator(own) as admin:
                await admin.jetstream.call(f"STREAM.DELETE.{name}", None, dict[str, Any])
