"""Publish batches to a stream, and keep them until the stream has acknowledged them."""

from __future__ import annotations

import asyncio
import logging
import random
from itertools import groupby
from typing import TYPE_CHECKING, Any

import msgspec

from fastcoord.errors import RequestTimeout
from fastcoord.nats.jetstream import ApiAnswer, ApiFailure, refusal
from fastcoord.nats.stream_frames import MESSAGE_ID_ALLOWANCE
from fastcoord.publishing.batch_writer import BYTES_PER_WRITE
from fastcoord.publishing.sender import Sender
from fastcoord.streaming.acknowledgements import Acknowledgements

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from fastcoord.errors import PermissionDenied
    from fastcoord.nats.connection import Connection, Note
    from fastcoord.wire.sealed_batch import SealedBatch

__all__ = ["StreamSender"]

MAX_UNDER_WAY = 1024
"""No further batches are sent while this many are not acknowledged."""
GAP_LIMIT = 0.25
"""Seconds after which a batch is sent again if a later one was acknowledged."""
ACKNOWLEDGEMENT_LIMIT = 2.0
"""Seconds without an acknowledgement after which all batches are sent again."""
SHORTEST_PAUSE = 0.05
LONGEST_PAUSE = 4.0
WATCH_INTERVAL = 0.1
ID_IN_PROCESS = 10158
"""The error of a message id that the leader has received and neither stored nor given up."""
PAUSES_OF_ID = 6
"""Pauses, some two seconds together, after which such an id is replaced."""

logger = logging.getLogger("fastcoord")


class StreamSender(Sender):
    """The sending side of a node with a stream.

    Many batches are under way at once. They are confirmed in their order; see ``Acknowledgements``.
    If a batch is lost or refused, it and all later ones are sent again with the same message ids,
    so that the stream stores none of them twice. After that, and on each new connection, the first
    batch is sent alone until it is acknowledged. So the first batch of a node is the first one that
    the stream stores.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.acknowledgements = Acknowledgements(self._schedule_acknowledgements)
        self.max_message = 1 << 30
        """The size of the largest message that the stream accepts, in bytes."""
        self.resent = 0
        """How many batches were sent again."""
        self.trouble: str | None = None
        """Why the stream does not acknowledge batches, or ``None``."""
        self._node_name = f"node {options['node_id']}"
        self._reply = b""
        self._attempt = 0
        self._attempt_end = 0
        self._paused: asyncio.TimerHandle | None = None
        self._pauses = 0
        self._progress_at = 0.0
        self._watching: asyncio.TimerHandle | None = None
        self._is_ping_pending = False
        self._is_proven = False
        """Whether a batch was acknowledged since all batches were sent again."""

    # ---------------------------------------------------------------------- sending

    def _is_idle(self) -> bool:
        return self._paused is None and super()._is_idle()

    def _send_full_batches(self) -> None:
        # With a full window, acknowledgements continue the sending.
        if len(self.batcher.window) < MAX_UNDER_WAY:
            super()._send_full_batches()

    def _send_batches(self) -> None:
        connection, batcher = self._connection, self.batcher
        if connection is None or self._is_held or self._is_refused or self._is_ended():
            return
        if self._paused is not None or not self._has_batches():
            return
        if len(batcher.window) >= MAX_UNDER_WAY:
            return
        if not batcher.window:
            self._progress_at = self._loop.time()
        self._is_writing = True
        try:
            if not self._is_proven and batcher.window:
                pass
            elif self.pace.is_on:
                if len(batcher.window) < MAX_UNDER_WAY:
                    self._write_paced(connection)
            elif not self._is_proven:
                self._write(connection, 1)
            else:
                while (
                    self._has_batches()
                    and connection.is_writable
                    and len(batcher.window) < MAX_UNDER_WAY
                ):
                    self._write(connection)
        except BaseException:
            # Batches that were taken may not have been written.
            connection.abort("sending was interrupted")
            raise
        finally:
            self._is_writing = False
        self._watch()

    def _write(self, connection: Connection, max_bytes: int = BYTES_PER_WRITE) -> int:
        note: Note = "resend" if self.batcher.resend else None
        taken = self.batcher.take(max_bytes)
        if note is not None:
            self.resent += len(taken)
        for (discarded, is_again), members in self._split(taken):
            number = self.acknowledgements.add(members)
            self.sent_bytes += connection.publish_to_stream(
                self.incarnation,
                discarded,
                members,
                reply=self._reply,
                number=number,
                attempt=self._attempt if is_again else 0,
                connection=self.empty_batches.number,
                note=note,
            )
        return taken[-1].offset + taken[-1].count - taken[0].offset

    def _split(
        self, batches: list[SealedBatch]
    ) -> Iterable[tuple[tuple[int, bool], list[SealedBatch]]]:
        """Split batches where events were discarded, or where the stream has the first ones."""
        first = self._kind(batches[0])
        if first == self._kind(batches[-1]):
            return [(first, batches)]
        return [(kind, list(members)) for kind, members in groupby(batches, self._kind)]

    def _kind(self, batch: SealedBatch) -> tuple[int, bool]:
        return batch.discarded, batch.offset < self._attempt_end

    def _confirm_later(self) -> None:
        self._watch()

    # -------------------------------------------------------------- acknowledgements

    def _schedule_acknowledgements(self) -> None:
        # All acknowledgements of one read are processed together.
        self._loop.call_soon(self._process_acknowledgements)

    def _process_acknowledgements(self) -> None:
        acknowledgements, batcher = self.acknowledgements, self.batcher
        acknowledgements.seen()
        if self._confirm_stored():
            self._progress_at = self._loop.time()
            self._is_proven = True
            self._pauses = 0
            self._begin_pace()
            if self.trouble is not None:
                self.trouble = None
                logger.warning("%s: the stream acknowledges events again", self._node_name)
            self._complete_flushes()
        if acknowledgements.error is not None:
            redact = str if self._connection is None else self._connection.redact
            if self._pauses >= PAUSES_OF_ID and error_code(acknowledgements.error) == ID_IN_PROCESS:
                # After a change of the leader, a server may keep the id of a message that it never
                # stores. If it does store it later, receivers drop the second copy.
                self._replace_ids(self.batcher.first_unsent)
            self._pause(describe_error(acknowledgements.error, redact))
        elif acknowledgements.is_misplaced:
            # Stored again under new ids, these batches stand behind their predecessor.
            if batcher.window:
                last = batcher.window[-1]
                self._replace_ids(last.offset + last.count)
            self._go_back()
        self._continue()
        self._waiting.wake()

    def _confirm_stored(self) -> bool:
        """Confirm the batches of the window that are acknowledged in their order.

        :return: whether there were any.
        """
        confirmed, window = self.acknowledgements.confirmed, self.batcher.window
        if not window or confirmed <= window[0].offset:
            return False
        self.batcher.confirm(confirmed, self._clock())
        return True

    def _replace_ids(self, end: int) -> None:
        """Send the batches up to an offset under new message ids from now on."""
        self._attempt += 1
        self._attempt_end = end

    def _go_back(self) -> None:
        """Send all unconfirmed batches again, in their order."""
        self._restart()
        self.batcher.rewind()
        self._progress_at = self._loop.time()

    def _pause(self, reason: str) -> None:
        """Wait, then send all unconfirmed batches again."""
        self._go_back()
        if self.trouble is None:
            logger.error("%s: the stream does not accept events: %s", self._node_name, reason)
            if not self._is_refused:
                self._age.restart()
        self.trouble = reason
        if self._paused is None:
            wait = min(LONGEST_PAUSE, SHORTEST_PAUSE * 2.0 ** min(self._pauses, 20))
            self._pauses += 1
            self._paused = self._loop.call_later(wait * random.uniform(0.5, 1.0), self._unpause)

    def _unpause(self) -> None:
        if self._paused is not None:
            self._paused.cancel()
            self._paused = None
        self._flush()

    def _watch(self) -> None:
        """Check the age of the oldest acknowledgement that is due, while there is one."""
        if self._watching is None and self.batcher.window:
            self._watching = self._loop.call_later(WATCH_INTERVAL, self._check_progress)

    def _check_progress(self) -> None:
        self._watching = None
        if self.batcher.window:
            waited = self._loop.time() - self._progress_at
            if waited > ACKNOWLEDGEMENT_LIMIT:
                self._pause(f"no acknowledgement for {waited:.1f} s")
            elif self.acknowledgements.has_gap and waited > GAP_LIMIT:
                self._go_back()
                self._send_batches()
            self._watch()

    def discard_expired(self) -> int:
        if self.trouble is None or self._connection is None:
            return super().discard_expired()
        # A stream that accepts nothing is treated like a missing connection.
        discarded = self._age.discard_expired()
        if discarded:
            self._flush()
            self._waiting.wake()
        return discarded

    # ------------------------------------------------------------------- connections

    def use_replies(self, reply: bytes) -> None:
        """Set the subject of acknowledgements on the next connection, with a dot at the end."""
        self._reply = reply

    def connected(
        self,
        connection: Connection,
        *,
        repeat: float | None,
        hold: bool,
        greet: Callable[[], object],
    ) -> int:
        self._is_ping_pending = False
        # What the stream has acknowledged is stored, so it is not sent again.
        return super().connected(connection, repeat=None, hold=False, greet=greet)

    def begin_run(self, node_id: int, incarnation: int) -> None:
        super().begin_run(node_id, incarnation)
        self.acknowledgements.begin_run()
        self._is_proven = False
        self._attempt_end = 0
        self._node_name = f"node {node_id}"

    def _restart(self) -> None:
        # What was acknowledged just before must not be sent again: its second acknowledgement would
        # have a smaller sequence than the last one, as if it was stored in the wrong place.
        self._confirm_stored()
        self.acknowledgements.restart()
        self._is_proven = False

    def disconnected(self) -> None:
        self._restart()
        if self._paused is not None:
            self._paused.cancel()
            self._paused = None
        super().disconnected()

    def refused(self, reason: PermissionDenied) -> None:
        self._restart()
        super().refused(reason)

    def limit_batches(self, max_payload: int) -> int:
        return super().limit_batches(min(max_payload, self.max_message) - MESSAGE_ID_ALLOWANCE)

    def limit_messages(self, max_message: int) -> int:
        """Limit batches to the largest message that the stream accepts.

        :return: how many events were discarded because they are larger.
        """
        is_smaller = max_message < self.max_message
        self.max_message = max_message
        if self._connection is None:
            return 0
        if is_smaller:
            # Only batches that are not under way can be split.
            self._go_back()
        discarded = self.limit_batches(self._connection.max_payload)
        if is_smaller:
            self._flush()
        return discarded

    # ---------------------------------------------------------------------- flushing

    def check_alive(self) -> None:
        """Send a PING unless one is unanswered, so that a silent server is detected."""
        connection = self._connection
        if connection is not None and (
            # The flag alone is not enough: an exception may have interrupted `_pong`.
            not self._is_ping_pending or connection.oldest_ping is None
        ):
            self._is_ping_pending = True
            connection.ping(lambda: self._pong(connection))
        self._complete_flushes()

    def _pong(self, connection: Connection) -> None:
        if connection is self._connection:
            self._is_ping_pending = False

    def _complete_flushes(self) -> None:
        window = self.batcher.window
        self._confirmations.answer(window[0].offset if window else self.batcher.next_offset)

    async def flush(self, timeout: float | None = None) -> None:
        try:
            await super().flush(timeout)
        except RequestTimeout as error:
            if self.trouble is None:
                raise
            raise RequestTimeout(
                f"{error}; the stream does not accept them: {self.trouble}"
            ) from None

    def end(self) -> None:
        for timer in (self._paused, self._watching):
            if timer is not None:
                timer.cancel()
        super().end()


def describe_error(answer: bytes, redact: Callable[[str], str]) -> str:
    """Return the reason that the body of an acknowledgement gives.

    :param redact: :meth:`Connection.redact`, because the server may repeat a secret.
    """
    if not answer:
        return "no stream stores the subject, or the stream has no leader"
    failure = _failure(answer)
    if failure is None:
        return "an acknowledgement cannot be read"
    return str(refusal(failure, redact))


def error_code(answer: bytes) -> int:
    """Return JetStream's code of the error in the body of an acknowledgement; 0 without one."""
    failure = _failure(answer)
    return 0 if failure is None else failure.err_code


def _failure(answer: bytes) -> ApiFailure | None:
    try:
        return msgspec.json.decode(answer, type=ApiAnswer).error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
