"""The hellos of a node, and when it knows its peers."""

from __future__ import annotations

import asyncio

from fastcoord.presence.introduction import QUIET_TIME, Introduction
from fastcoord.presence.questions import Answer, Questions


def make() -> Introduction:
    questions = Questions(1, lambda note, question: True)
    return Introduction(0.2, questions, lambda numbers: None)


def ignore(answer: Answer) -> None:
    """Take an answer."""


async def test_answer_completes_only_its_connection() -> None:
    introduction = make()
    introduction.begin(ignore, is_clustered=False)
    introduction.answered()
    # The node has reconnected before the other peers can have answered.
    introduction.begin(ignore, is_clustered=False)
    loop = asyncio.get_running_loop()
    began = loop.time()
    await introduction.complete(3 * QUIET_TIME)
    assert loop.time() - began >= 2.9 * QUIET_TIME
    introduction.answered()
    await introduction.complete(60)
    assert loop.time() - began < 30


async def test_hello_is_repeated_after_reconnecting() -> None:
    introduction = make()
    introduction.begin(ignore, is_clustered=False)
    introduction.answered()
    introduction.begin(ignore, is_clustered=False)
    await asyncio.sleep(2 * QUIET_TIME)
    assert introduction.repeat(asyncio.get_running_loop().time() + 1)
