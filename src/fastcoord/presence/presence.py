"""The presence of one node on its connection: hellos, heartbeats, questions and answers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from fastcoord._deadline import within
from fastcoord.presence.answers import Answers, read_roster
from fastcoord.presence.claim import Claims, is_claim_to
from fastcoord.presence.heartbeats import Heartbeats
from fastcoord.presence.introduction import Introduction
from fastcoord.presence.known_peers import KnownPeers
from fastcoord.presence.missing_presence import MissingPresence
from fastcoord.presence.progress import JoinOffsets, Progress
from fastcoord.presence.question_line import EVERYBODY, read_line, write_line
from fastcoord.presence.questions import Answer, Questions
from fastcoord.presence.reply_subject import REPLY_SID, ReplySubject
from fastcoord.presence.verifications import Verifications

if TYPE_CHECKING:
    from fastcoord.config import Config
    from fastcoord.nats.connection import Connection, Note
    from fastcoord.publishing.sender import Sender
    from fastcoord.receiving.receiver import Receiver
    from fastcoord.receiving.rules import Rules

__all__ = ["PRESENCE_SID", "REPLY_SID", "Presence"]

PRESENCE_SID = 2

PROOF_TIME = 1.0
"""The seconds for which a node waits for the server's answer to its first message."""

RESIZE_INTERVAL = 0.1
"""Peers are counted at most once in this many seconds, however many nodes say hello."""


ReceivedBy = Callable[[int, int, int], tuple[int, int, int] | None]


class Presence:
    """Send and answer what is not an event.

    :param config: the configuration.
    :param incarnation: this run of the node.
    :param sender: sends the empty batches of the node.
    :param receiver: stores the state of the peers.
    :param rules: judge their messages.
    :param received_by: called with node id, incarnation and the offset that is asked for; returns
        how far a run was received: expected offset, end of the last gap, first offset; ``None`` if
        nothing was received.
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
        receiver: Receiver,
        rules: Rules,
        received_by: ReceivedBy,
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
        self._rules = rules
        self._peers = KnownPeers(receiver, rules)
        self._received_by = received_by
        self._connection: Connection | None = None
        self._reply = ReplySubject(cluster.presence_subject, node_id, incarnation)
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
        self._has_joined = False
        """Whether the node has joined a cluster of servers."""
        self._introduction = Introduction(cluster.heartbeat, self.questions, self._say_hello)
        self._same_id = same_id
        self._claims = Claims(self.questions, cluster.heartbeat, self._late_objection)
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
        if self._subject != self._events_subject:
            connection.subscribe(self._subject, PRESENCE_SID)
        self._reply.subscribe(connection)

    def connected(self) -> None:
        """Greet the peers on a new connection."""
        if self.is_silent:
            return
        connection = self._connection
        if connection is not None:
            self._introduction.begin(self._take_roster, is_clustered=connection.is_clustered)

    def probe(self) -> None:
        """Test the right to publish events.

        On the events' subject, the trace of the test would be a message that no node can decode.
        If presence uses that subject, hellos and heartbeats test the right.
        """
        trace = self._reply.own.decode()
        if trace != self._events_subject:
            self._sender.probe(trace, write_line((0, EVERYBODY)))

    def reprobe(self) -> bool:
        """Test that right once more if the server has refused the subject of the trace.

        :return: whether it was tested.
        """
        if not self._reply.was_refused:
            return False
        self.probe()
        return True

    def disconnected(self) -> None:
        """Forget the questions of a lost connection."""
        self._connection = None
        self._reply.disconnected()
        self._verifications.clear()

    def _say_hello(self, numbers: tuple[int, ...]) -> None:
        self._sender.beat("hello", reply=self._reply.own, question=write_line(numbers))
        self.heartbeats.sent(self._loop.time())

    async def prove_join(self) -> None:
        """Wait until peers have answered the hello; at most 0.5 s."""
        if not self._introduction.is_clustered:
            # There is only one server, and its PONG has confirmed the subscriptions.
            return
        await self._introduction.prove_join()
        self._has_joined = True
        self._rules.join.proven()
        if not self._introduction.has_answer:
            # Also if the server knows no peer: it may not know a peer that has joined just before.
            self._rules.join.unproven()

    # ---------------------------------------------------------------------------- node id

    async def claim(self, node_id: int) -> bool:
        """Ask whether another node uses or claims an id, and defend it until ``begin_run``.

        :return: whether the id is free.
        """
        self._answers.claimed = node_id
        return await self._claims.decide(node_id, lambda: self._connection)

    async def prove_right(self) -> None:
        """Wait until the server has processed the claim, the first message of a node without an id.

        It waits for a second at most. A later refusal is logged, and makes ``health`` false.

        :raises PermissionDenied: the server does not permit this node to publish it. Then no other
            node has received it, and the id may be used twice.
        """
        connection = self._connection
        if connection is None:
            return
        processed = asyncio.Event()
        connection.ping(processed.set)
        try:
            await within(processed.wait(), PROOF_TIME)
        except TimeoutError:
            pass  # the server is distant, or the connection was lost and will be replaced
        for right in connection.refused:
            raise right.denied()

    def begin_run(self, node_id: int, incarnation: int) -> None:
        """Continue with another id and another incarnation."""
        self._node_id = self._answers.node_id = self.questions.node_id = node_id
        self._incarnation = incarnation
        self._answers.claimed = None
        self._joined = JoinOffsets()
        self._confirmed_up_to = 0
        self._reply.begin_run(node_id, incarnation)

    def _late_objection(self, answer: Answer) -> None:
        """Process an objection to a claim that is decided."""
        if answer.node_id == self._node_id:
            # This node runs with the id already. The other one may only have claimed it, and may
            # have lost its claim to this node. If it runs too, it answers again.
            self.verify(answer.node_id)

    def _is_settled(self, answer: Answer) -> bool:
        """Return whether this node, or another one that uses its id, takes another id."""
        return self._same_id is not None and self._same_id(answer)

    # ------------------------------------------------------------------------------- time

    def tick(self, now: float, *, must_beat: bool = False) -> None:
        """Send what is due. Call this twice a heartbeat while there is a connection.

        :param must_beat: whether to send a heartbeat in any case.
        """
        self._resize()
        self._verifications.tick(now)
        if self._subject != self._events_subject:
            self._missing.tick(self._peers.without_presence(), now)
        if self._introduction.repeat(now):
            return
        if must_beat or self.heartbeats.is_due(self._sender.last_sent, now):
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

    def _ask(self, note: Note, question: bytes) -> bool:
        return self._sender.empty_batches.send(note, reply=self._reply.own, question=question)

    def verify(self, node_id: int) -> bool:
        """Ask a node for its own word, because received messages of its id disagree.

        :return: whether a question was sent.
        """
        if self._claims.refuse(node_id):
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
        await self._introduction.complete(deadline - self._loop.time())
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
            if not self._claims.confirm():
                self._introduction.nobody()
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
        if not self._reply.is_allowed(reply, node_id, incarnation):
            self.ignored += 1
            return
        if node_id == self._node_id and note != "hello" and not is_claim_to(node_id, numbers):
            # That run may change its id before it publishes again, and what it has sent is missing.
            self._rules.own_id.received(incarnation)
        response: tuple[int, ...] | None
        if note == "hello":
            if now - self._resized_at > RESIZE_INTERVAL:
                self._resize()
            if connection == 0:
                self._joined.note(node_id, incarnation, self._sender.batcher.end)
            response = self._answers.to_hello(node_id, numbers, self._peers.up_now, self._up, now)
        elif note == "who":
            response = None
            # Before its first claim, a node has only drawn its id and must not object to others.
            has_right = self._claims.is_open or not self.is_silent
            if has_right and not self._claims.is_undecided(numbers, incarnation, self._incarnation):
                response = self._answers.to_who(node_id, numbers, now)
        else:
            up_to = numbers[2] if len(numbers) > 2 else 0
            received = self._received_by(node_id, incarnation, up_to)
            response = self._answers.to_progress(node_id, numbers, received, now)
        if response is not None:
            self._sender.empty_batches.send_word(self._reply.usable(reply), write_line(response))

    def _take_answer(self, token: int, answer: Answer, now: float) -> None:
        if self.questions.take(token, answer):
            return
        if self._verifications.answered(answer.node_id, token):
            if answer.node_id == self._node_id and self._is_settled(answer):
                return
            self._rules.own_word(
                answer.node_id,
                answer.incarnation,
                answer.connection,
                answer.offset,
                answer.discarded,
                now,
            )

    def _take_roster(self, answer: Answer) -> None:
        if self._has_joined:
            self._rules.join.unproven()
        self._introduction.answered()
        if answer.node_id == self._node_id and self._same_id is not None:
            # Only the answer to a question for its word says whether that node can change its id.
            self.verify(answer.node_id)
            return
        self._rules.join.introduced(
            answer.node_id,
            answer.incarnation,
            answer.connection,
            answer.offset,
            answer.discarded,
        )
        self._rules.join.roster(read_roster(answer.numbers))
        self._introduction.joined()

    def end(self, reason: Exception) -> None:
        """Raise ``reason`` in every call that waits for an answer."""
        self.questions.end(reason)
        self._claims.end(reason)
