"""The JetStream stream of one run of ``fastcoord bench --stream``."""

from __future__ import annotations

import contextlib
import secrets
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import msgspec

from fastcoord.cli.abandoned_streams import PREFIX, remove_abandoned, run_metadata
from fastcoord.cli.administrator import Administrator
from fastcoord.errors import FastcoordError
from fastcoord.nats.stream_info import StreamInfo
from fastcoord.streaming.settings import stream_settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from fastcoord import Config
    from fastcoord.tuning.run import StreamMaker

__all__ = ["note_unused_stream", "stream_maker", "temporary_stream"]

MAX_BYTES = 256 * 1024 * 1024
LEAST_AGE = 120.0
MOST_AGE = 3600.0
"""Seconds for which the stream keeps an event: the longest duration of the run, between these."""


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
async def temporary_stream(config: Config, subject: str, longest: float) -> AsyncIterator[str]:
    """Make a stream for the subject of one run, and delete it afterwards.

    If the run is killed, the server soon removes the events, and a later run deletes the stream.

    :param config: the configuration of the nodes.
    :param subject: the subject of the run.
    :param longest: the longest duration of the run in seconds.
    :return: a context that gives the name of the stream.
    :raises StreamError: JetStream refuses the stream.
    """
    name = f"{PREFIX}{secrets.token_hex(6)}"
    replace = msgspec.structs.replace
    cluster = replace(
        config.cluster, subject=subject, presence_subject=f"{subject}.fastcoord", stream=name
    )
    own = replace(config, cluster=cluster)
    max_age = max(config.cluster.max_age, min(MOST_AGE, max(LEAST_AGE, longest)))
    settings = stream_settings(own, max_age=max_age, max_bytes=MAX_BYTES)
    given = {key: each for key, each in msgspec.to_builtins(settings).items() if each is not None}
    try:
        async with Administrator(own) as admin:
            # A missing right to list streams is no reason to refuse a run.
            with contextlib.suppress(FastcoordError):
                await remove_abandoned(admin.jetstream)
            await admin.jetstream.call(
                f"STREAM.CREATE.{name}", {**given, "metadata": run_metadata(longest)}, StreamInfo
            )
        yield name
    finally:
        # A stream also exists if only the answer to its creation was lost. Without a server it
        # cannot be deleted, and the run has failed for this reason.
        with contextlib.suppress(FastcoordError):
            async with Administrator(own) as admin:
                await admin.jetstream.call(f"STREAM.DELETE.{name}", None, dict[str, Any])
