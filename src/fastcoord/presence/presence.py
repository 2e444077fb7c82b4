"""The presence of one node on its connection: hellos, heartbeats, questions and answers."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

from fastcoord._deadline import within
from fastcoord.presence.answers import Answers, read_roster
from fastcoord.presence.claim import CLAIM, CLAIM_TIME, CLAIM_TIME_OF_CLUSTER, PAUSE, Claim
from fastcoord.presence.heartbeats import Heartbeats
from fastcoord.presence.missing_presence import MissingPresence
from fastcoord.presence.progress import JoinOffsets, Progress
from fastcoord.presence.question_line import EVERYBODY, read_line, write_line
from fastcoord.presence.questions import Answer, Questions
from fastcoord.presence.verifications import Verifications

if TYPE_CHECKING:
    from fastcoord.config import Config
    from fastcoord.nats.connection import Connection, Note
    from fastcoord.publishing.sender import Sender

__all__ = ["PRESENCE_SID", "REPLY_SID", "KnownPeers", "Presence"]

PRESENCE_SID = 2
REPLY_SID = 3

JOIN_LIMIT = 0.5
"""The most seconds that a new node waits for answers to its hello."""

QUIET_TIME = 0.02
"""After this many seconds without another answer, all peers are considered to have answered. If the
first answer took longer, its time is used instead."""

ANSWERS_WANTED = 4
ANSWERS_WANTED_OF_CLUSTER = 16
"""How many peers answer a hello on average. In a cluster of servers an answer proves that the
peer's server knows the subscriptions of the newcomer, so that peers on all servers should answer.
"""

RESIZE_INTERVAL = 0.1
"""Peers are counted at most once in this many seconds, however many nodes say hello."""

MAX_HELLOS = 3
"""How often a node asks for a roster on one connection, half a heartbeat apart. The last hello asks
everybody."""


class KnownPeers(Protocol):
    """What the receiving side knows of the peers."""

    def up(self) -> Sequence[tuple[int, int]]:
        """Return node id and incarnation of each peer that is up."""

    def up_now(self) -> Sequence[tuple[int, int]]:
        """Return those peers that were received on the present connection."""

    def without_presence(self) -> Sequence[int]:
        """Return the peers that are up and of which only events were received."""

    def has_left(self, node_id: int) -> bool:
        """Return whether a peer has said goodbye."""

    def roster(self, pairs: Sequence[tuple[int, int]]) -> None:
        """Process the peers that an answer to this node's hello names."""

    def introduced(
        self, node_id: int, incarnation: int, connection: int, offset: int, discarded: int
    ) -> None:
        """Process the sender of an answer to this node's hello."""

    def own_word(
        self,
        node_id: int,
        incarnation: int,
        connection: int,
        offset: int,
        discarded: int,
        now: float,
    ) -> None:
        """Process the answer of a node that was asked for its own word."""

    def received_by(
        self, node_id: int, incarnation: int, up_to: int
    ) -> tuple[int, int, int] | None:
        """Return how far a run was received: expected offset, end of the last gap, first offset.

        :param up_to: the offset that is asked for.
        """


class Presence:
    """Send and answer what is not an event.

    :param config: the configuration.
    :param incarnation: this run of the node.
    :param sender: sends the empty batches of the node.
    :param peers: what the receiving side knows.
    :param without_presence: called once with the id of a node of which only events arrive.
    :param same_id: called with an answer of another run that uses this node's id; returns whether
        one of the two takes another id. ``None`` for a node that keeps its id.
    """

    def __init__(
        self,
        config: Config,
        *,
        incarnation: int,
        sender: Sender,
        peers: KnownPeers,
        without_presence: Callable[[int], object],
        same_id: Callable[[Answer], bool] | None = None,
    ) -> None:
        cluster = config.cluster
        self._loop = asyncio.get_running_loop()
        self._node_id = node_id = sender.batcher.node_id
        self._incarnation = incarnation
        self._heartbeat = cluster.heartbeat
        self._subject = cluster.presence_subject
        self._events_subject = cluster.subject
        self._sender = sender
        self._peers = peers
        self._connection: Connection | None = None
        self._reply = reply_subject(cluster.presence_subject, node_id, incarnation)
        self._subject_bytes = cluster.presence_subject.encode()
        self._answers = Answers(node_id)
        self._answers.can_change = same_id is not None
        self.questions = Questions(node_id, self._ask)
        self._verifications = Verifications(cluster.heartbeat, self._ask_who)
        self._missing = MissingPresence(cluster.heartbeat, self._ask_for_presence, without_presence)
        self.heartbeats = Heartbeats(cluster.heartbeat)
        self._up = 0
        """How many peers were up when ``_resize`` was called last."""
        self._resized_at = 0.0
        self._joined = JoinOffsets()
        self._confirmed_up_to = 0
        self._hello: int | None = None
        self._hellos = 0
        self._hello_at = 0.0
        self._answered = asyncio.Event()
        self._has_answer = False
        self._is_introduced = asyncio.Event()
        """Set when a peer has answered the hello, or when there is none."""
        self._is_alone = False
        self._same_id = same_id
        self._claim: Claim | None = None
        self._is_reply_refused = False
        self.is_silent = same_id is not None
        """Whether the node has no id yet, so that it says no hello."""
        self.ignored = 0
        """How many questions were ignored because their reply subject is not allowed, or because
        they cannot be read."""
        self._resize()

    @property
    def unanswered(self) -> int:
        """How many questions of other nodes this node has not answered."""
        return self.ignored + self._answers.refused

    # ------------------------------------------------------------------------ connections

    def subscribe(self, connection: Connection) -> None:
        """Subscribe on a new connection, before anything is published there."""
        self._connection = connection
        self._is_reply_refused = False
        if self._subject != self._events_subject:
            connection.subscribe(self._subject, PRESENCE_SID)
        connection.subscribe(self._reply.decode(), REPLY_SID)

    def connected(self) -> None:
        """Greet the peers on a new connection."""
        if self.is_silent:
            return
        if self._hello is not None:
            self.questions.close(self._hello)
        self._answered.clear()
        self._is_alone = False
        self._has_answer = False
        self._is_introduced.clear()
        self._hello = self.questions.open(self._take_roster)
        self._hellos = 0
        self._say_hello()

    def probe(self) -> None:
        """Test the right to publish events."""
        self._sender.empty_batches.probe(self._own_reply().decode())

    def reprobe(self) -> bool:
        """Test that right once more if the server has refused the subject of the trace.

        :return: whether it was tested.
        """
        connection = self._connection
        if connection is None or not connection.has_refused(self._reply.decode()):
            return False
        self.probe()
        return True

    def disconnected(self) -> None:
        """Forget the questions of a lost connection."""
        self._connection = None
        self._verifications.clear()

    def _say_hello(self) -> None:
        connection, token = self._connection, self._hello
        if connection is None or token is None:
            return
        self._hellos += 1
        self._hello_at = self._loop.time()
        wanted = ANSWERS_WANTED_OF_CLUSTER if connection.is_clustered else ANSWERS_WANTED
        if self._hellos == MAX_HELLOS:
            wanted = 0
        self._sender.beat(
            "hello", reply=self._own_reply(), question=write_line((token, EVERYBODY, wanted))
        )
        self.heartbeats.sent(self._hello_at)

    # ---------------------------------------------------------------------------- node id

    async def claim(self, node_id: int) -> bool:
        """Ask whether another node uses or claims an id, and defend it until ``begin_run``.

        :return: whether the id is free.
        """
        claim = self._claim = Claim(node_id)
        self._answers.claimed = node_id

        def take(answer: Answer) -> None:
            if self._claim is claim:
                claim.refuse()
            elif answer.node_id == self._node_id:
                # This node runs with the id already. The other one may only have claimed it, and
                # may have lost its claim to this node. If it runs too, it answers again.
                self.verify(answer.node_id)

        token = self.questions.open(take)
        # A busy node may object late.
        self._loop.call_later(3 * self._heartbeat, self.questions.close, token)
        try:
            asked: Connection | None = None
            while not claim.is_refused:
                connection = self._connection
                if connection is not None and (connection is asked or claim.is_alone):
                    break
                asked = connection
                if connection is not None:
                    self.questions.ask("who", token, node_id, CLAIM)
                    is_clustered = connection.is_clustered
                    await claim.wait(CLAIM_TIME_OF_CLUSTER if is_clustered else CLAIM_TIME)
                else:
                    await claim.wait(PAUSE)
        finally:
            self._claim = None
        return not claim.is_refused

    def begin_run(self, node_id: int, incarnation: int) -> None:
        """Continue with another id and another incarnation."""
        self._node_id = self._answers.node_id = self.questions.node_id = node_id
        self._incarnation = incarnation
        self._answers.claimed = None
        self._joined = JoinOffsets()
        self._confirmed_up_to = 0
        connection = self._connection
        if connection is not None:
            # Without the right to one of these subjects, the node has no right to the next one.
            self._is_reply_refused |= connection.has_refused(self._reply.decode())
            connection.unsubscribe(REPLY_SID)
        self._reply = reply_subject(self._subject, node_id, incarnation)
        if connection is not None and not self._is_reply_refused:
            connection.subscribe(self._reply.decode(), REPLY_SID)

    def _take_who(
        self, node_id: int, incarnation: int, numbers: tuple[int, ...], now: float
    ) -> tuple[int, ...] | None:
        """Answer a question for the word of this node, or another claim of the same id."""
        claim = self._claim
        if claim is not None and numbers[1] == claim.node_id:
            if numbers[2:3] != (CLAIM,):
                # This node does not run with the id yet.
                return None
            if incarnation < self._incarnation:
                claim.refuse()
                return None
        return self._answers.to_who(node_id, numbers, now)

    def _is_settled(self, answer: Answer) -> bool:
        """Return whether this node, or another one that uses its id, takes another id."""
        return self._same_id is not None and self._same_id(answer)

    async def prove_join(self) -> None:
        """Wait until peers have answered the hello; at most 0.5 s.

        A server forwards the subscriptions of this node to other servers before it forwards the
        hello. If a peer answers, its server therefore knows the subscriptions. If there is no
        peer, the server itself answers at once. If the server refuses the hello, this method
        returns without proof.
        """
        connection = self._connection
        if connection is None or not connection.is_clustered:
            # There is only one server, and its PONG has confirmed the subscriptions.
            return
        started = self._loop.time()
        timeout = JOIN_LIMIT
        quiet = None
        try:
            while timeout > 0 and not self._is_alone:
                await within(self._answered.wait(), timeout)
                self._answered.clear()
                if quiet is None:
                    quiet = max(QUIET_TIME, self._loop.time() - started)
                timeout = min(quiet, started + JOIN_LIMIT - self._loop.time())
        except TimeoutError:
            return

    # ------------------------------------------------------------------------------- time

    def tick(self, now: float, *, must_beat: bool = False) -> None:
        """Send what is due. Call this twice a heartbeat while there is a connection.

        :param must_beat: whether to send a heartbeat in any case.
        """
        self._resize()
        self._verifications.tick(now)
        if self._subject != self._events_subject:
            self._missing.tick(self._peers.without_presence(), now)
        if (
            self._hello is not None
            and not self._has_answer
            and not self._is_introduced.is_set()
            and now - self._hello_at >= 0.45 * self._heartbeat
        ):
            if self._hellos < MAX_HELLOS:
                self._say_hello()
            else:
                self._is_introduced.set()
        elif must_beat or self.heartbeats.is_due(self._sender.last_sent, now):
            self.beat()

    def beat(self) -> None:
        """Send a heartbeat."""
        self._sender.beat()
        self.heartbeats.sent(self._loop.time())

    def _resize(self) -> None:
        self._resized_at = self._loop.time()
        self._up = len(self._peers.up())
        self.heartbeats.resize(self._up + 1)
        self._sender.empty_batches.silence = round(self.heartbeats.interval * 1000)

    # -------------------------------------------------------------------------- questions

    def _own_reply(self) -> bytes:
        """Return the subject for answers to this node's questions."""
        connection = self._connection
        if (
            connection is None
            or self._is_reply_refused
            or connection.has_refused(self._reply.decode())
        ):
            # Every node receives such an answer, and all but this one ignore it.
            return self._subject_bytes
        return self._reply

    def _ask(self, note: Note, question: bytes) -> bool:
        return self._sender.empty_batches.send(note, reply=self._own_reply(), question=question)

    def verify(self, node_id: int) -> bool:
        """Ask a node for its own word, because received messages of its id disagree.

        :return: whether a question was sent.
        """
        if self._claim is not None and node_id == self._claim.node_id:
            self._claim.refuse()
            return False
        return self._verifications.request(node_id, self._loop.time())

    def _ask_who(self, node_id: int) -> int:
        token = self.questions.new_token()
        self.questions.ask("who", token, node_id)
        return token

    def _ask_for_presence(self, node_id: int) -> None:
        def take(answer: Answer) -> None:
            self.questions.close(token)
            self._missing.answered(answer.node_id)

        token = self.questions.open(take)
        self._loop.call_later(3 * self._heartbeat, self.questions.close, token)
        self.questions.ask("who", token, node_id)

    async def confirm(self, up_to: int, deadline: float) -> frozenset[int]:
        """Wait until all peers that are up have received the events of this node.

        :param up_to: the offset behind these events.
        :param deadline: a time on the event loop's clock.
        :return: the ids of these peers.
        :raises PeersUnconfirmed: a peer has not received all of them.
        """
        # Without an answer to its hello, a new node does not know which peers are up.
        with contextlib.suppress(TimeoutError):
            await within(self._is_introduced.wait(), deadline - self._loop.time())
        progress = Progress(
            self._confirmed_up_to, up_to, [node_id for node_id, _ in self._peers.up()]
        )
        try:
            return await self.questions.confirm(
                progress, self._joined, self._peers.has_left, deadline
            )
        finally:
            if progress.is_decided or self._loop.time() >= deadline:
                self._confirmed_up_to = max(self._confirmed_up_to, up_to)

    # ------------------------------------------------------------------ received messages

    def take(
        self,
        note: str,
        node_id: int,
        incarnation: int,
        offset: int,
        discarded: int,
        connection: int,
        reply: bytes,
        header_block: bytes,
    ) -> None:
        """Process a question or an answer of another node.

        The parameters are those of ``Receiver.on_question``.
        """
        if note == "nobody":
            # The server has delivered the hello or the claim to no other node.
            if self._claim is not None:
                self._claim.confirm()
                return
            self._is_alone = True
            self._answered.set()
            self._is_introduced.set()
            return
        numbers = read_line(header_block)
        if numbers is None or (node_id, incarnation) == (self._node_id, self._incarnation):
            self.ignored += numbers is None
            return
        now = self._loop.time()
        if note == "answer":
            if numbers[1] == self._node_id:
                answer = Answer(node_id, incarnation, offset, discarded, connection, numbers[2:])
                self._take_answer(numbers[0], answer, now)
            return
        if reply not in (self._subject_bytes, reply_subject(self._subject, node_id, incarnation)):
            self.ignored += 1
            return
        response: tuple[int, ...] | None
        if note == "hello":
            if now - self._resized_at > RESIZE_INTERVAL:
                self._resize()
            if connection == 0:
                self._joined.note(node_id, incarnation, self._sender.batcher.end)
            response = self._answers.to_hello(node_id, numbers, self._peers.up_now, self._up, now)
        elif note == "who":
            response = self._take_who(node_id, incarnation, numbers, now)
        else:
            up_to = numbers[2] if len(numbers) > 2 else 0
            received = self._peers.received_by(node_id, incarnation, up_to)
            response = self._answers.to_progress(node_id, numbers, received, now)
        if response is not None:
            self._answer(reply, write_line(response))

    def _answer(self, reply: bytes, question: bytes) -> None:
        connection = self._connection
        if connection is not None and connection.has_refused_below(f"{self._subject}."):
            reply = self._subject_bytes
        self._sender.empty_batches.send_word(reply, question)

    def _take_answer(self, token: int, answer: Answer, now: float) -> None:
        if self.questions.take(token, answer):
            return
        if self._verifications.answered(answer.node_id, token):
            if answer.node_id == self._node_id and self._is_settled(answer):
                return
            self._peers.own_word(
                answer.node_id,
                answer.incarnation,
                answer.connection,
                answer.offset,
                answer.discarded,
                now,
            )

    def _take_roster(self, answer: Answer) -> None:
        if not self._has_answer:
            self._has_answer = True
            # The others answer at about the same time, and each may know other peers.
            elapsed = self._loop.time() - self._hello_at
            self._loop.call_later(max(QUIET_TIME, elapsed), self._is_introduced.set)
        if answer.node_id == self._node_id and self._same_id is not None:
            # Only the answer to a question for its word says whether that node can change its id.
            self.verify(answer.node_id)
            return
        self._peers.introduced(
            answer.node_id,
            answer.incarnation,
            answer.connection,
            answer.offset,
            answer.discarded,
        )
        self._peers.roster(read_roster(answer.numbers))
        self._answered.set()

    def end(self, reason: Exception) -> None:
        """Raise ``reason`` in every call that waits for an answer."""
        self.questions.end(reason)
        if self._claim is not None:
            self._claim.fail(reason)


def reply_subject(presence_subject: str, node_id: int, incarnation: int) -> bytes:
    """Return the only subject, beside the presence subject, on which a node receives answers.

    The sender of a message chooses its reply subject, and anybody may be its sender. So a node
    answers only if it is exactly this one, which names the sender of the question.
    """
    return f"{presence_subject}.{node_id}.{incarnation}".encode()
