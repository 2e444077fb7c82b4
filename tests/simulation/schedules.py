"""Directed schedules: one for each rule that fails when the rule is switched off."""

from __future__ import annotations

from simulation.world import Action, Schedule


def schedule(seed: int, servers: int, nodes: int, actions: list[tuple[str, int, int]]) -> Schedule:
    return Schedule(seed, servers, nodes, [Action(*action) for action in actions])


DIRECTED = {
    "3 gaps are not reported": schedule(
        38,
        3,
        4,
        [
            ("pause", 225, 390),
            ("publish", 115, 355),
            ("wait", 90, 361),
            ("part", 43, 491),
            ("publish", 215, 270),
            ("arrive", 41, 480),
        ],
    ),
    "4 resends are not skipped": schedule(5, 2, 3, [("publish", 156, 334), ("move", 78, 211)]),
    "4 late batches are delivered": schedule(
        1,
        2,
        2,
        [
            ("restart", 23, 319),
            ("arrive", 191, 76),
            ("publish", 5, 62),
            ("arrive", 133, 482),
            ("move", 117, 441),
            ("publish", 176, 312),
            ("publish", 133, 146),
            ("arrive", 171, 305),
            ("move", 13, 250),
        ],
    ),
    "5 tails are ignored": schedule(
        1,
        2,
        2,
        [
            ("move", 0, 0),
            ("move", 1, 1),
            ("wait", 0, 6),
            ("publish", 1, 0),
            ("wait", 0, 0),
            ("part", 0, 1),
            ("publish", 1, 0),
            ("wait", 0, 0),
            ("mend", 0, 1),
            ("close", 1, 0),
        ],
    ),
    "6 restarts are not reported": schedule(
        34,
        2,
        3,
        [
            ("publish", 21, 103),
            ("arrive", 183, 375),
            ("publish", 201, 413),
            ("kill", 92, 301),
            ("part", 34, 37),
            ("join", 62, 83),
            ("kill", 237, 215),
            ("join", 245, 125),
        ],
    ),
    "6 former runs are not remembered": schedule(
        5,
        2,
        3,
        [
            ("restart", 48, 120),
            ("move", 32, 293),
            ("publish", 23, 309),
            ("restart", 100, 509),
            ("freeze", 183, 172),
            ("restart", 201, 117),
            ("wait", 176, 188),
            ("restart", 138, 116),
        ],
    ),
    "7 every run may begin anywhere": schedule(
        326,
        3,
        2,
        [
            ("publish", 206, 508),
            ("wait", 16, 195),
            ("wait", 217, 386),
            ("join", 139, 60),
            ("join", 154, 359),
            ("publish", 55, 329),
            ("slow", 152, 205),
            ("wait", 243, 32),
            ("join", 252, 346),
            ("publish", 79, 258),
            ("stall", 48, 470),
            ("publish", 137, 481),
            ("wait", 247, 13),
        ],
    ),
    "8 silence is not reported": schedule(
        22,
        2,
        2,
        [
            ("publish", 175, 509),
            ("move", 39, 219),
            ("publish", 175, 90),
            ("close", 109, 348),
            ("part", 207, 18),
            ("wait", 128, 262),
        ],
    ),
    "9 absences are not reported": schedule(0, 1, 2, [("move", 60, 156)]),
    "10 own words are ignored": schedule(
        21, 2, 4, [("freeze", 89, 377), ("forge", 181, 448), ("wait", 40, 217)]
    ),
    "10 nothing is taken up": schedule(
        1,
        2,
        2,
        [
            ("restart", 111, 496),
            ("restart", 254, 325),
            ("restart", 246, 11),
            ("arrive", 3, 198),
        ],
    ),
    "11 a message of the own id is a duplicate": schedule(
        1, 2, 2, [("move", 176, 510), ("restart", 114, 64)]
    ),
    "12 batches without a header are dropped": schedule(1, 1, 2, [("stalwart", 0, 0)]),
    "refused batches count as sent": schedule(
        1, 1, 2, [("refuse", 0, 0), ("publish", 0, 2), ("wait", 0, 3)]
    ),
    "a forked child goes on": schedule(1, 1, 2, [("fork", 0, 0), ("wait", 0, 3)]),
}
"""By the rule that is switched off, as in ``rules_off``."""

LATE_HELLO = schedule(
    108688,
    3,
    3,
    [
        ("part", 175, 261),
        ("restart", 13, 397),
        ("move", 193, 270),
        ("duplicate", 57, 176),
        ("arrive", 241, 104),
        ("publish", 92, 3),
        ("arrive", 229, 227),
        ("move", 92, 253),
        ("kill", 152, 460),
        ("slow", 168, 368),
        ("pause", 77, 305),
        ("wait", 56, 355),
        ("wait", 111, 104),
        ("join", 151, 202),
        ("arrive", 22, 190),
        ("publish", 51, 274),
        ("arrive", 57, 38),
    ],
)
"""A node is paused after its hello. A newer run answers, whose first events are lost."""

STALE_ANSWER = schedule(
    616,
    3,
    4,
    [
        ("kill", 105, 26),
        ("kill", 136, 492),
        ("publish", 72, 301),
        ("arrive", 67, 20),
        ("freeze", 115, 334),
        ("publish", 104, 392),
        ("arrive", 108, 480),
        ("publish", 209, 202),
        ("restart", 217, 41),
        ("restart", 105, 387),
        ("move", 110, 154),
        ("freeze", 164, 434),
        ("restart", 138, 380),
        ("wait", 132, 479),
        ("publish", 116, 132),
        ("move", 152, 231),
        ("publish", 44, 416),
        ("wait", 20, 216),
    ],
)
"""A thawed server delivers an old run after a peer has answered a question.

The answer is older than what was received since, and must not be used when that peer becomes
current again.
"""
