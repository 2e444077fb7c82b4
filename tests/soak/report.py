"""What a soak has to hold at its end, and the table that shows it."""

from __future__ import annotations

import statistics
from collections import Counter
from typing import Any

Book = dict[str, Any]
MEBIBYTE = 1024 * 1024
GROWTH_ALLOWED = 0.10
GROWTH_ALWAYS_ALLOWED = 6 * MEBIBYTE


def is_even(books: list[Book]) -> bool:
    """Whether each resident knows of everything that each other resident sent."""
    return not list(uneven(books))


def uneven(books: list[Book]) -> list[str]:
    found = []
    for book in books:
        if book["waiting"]:
            found.append(f"node {book['node']}: {book['waiting']} events wait")
        for other in books:
            if other is book:
                continue
            place = next((line["place"] for line in lines(book, other["node"])), 0)
            if place != other["sent"]:
                found.append(
                    f"node {book['node']} knows of {place} events of node {other['node']},"
                    f" which sent {other['sent']}"
                )
    return found


def lines(book: Book, sender: int) -> list[Book]:
    return [line for line in book["received"] if line["sender"] == sender]


def violations(books: list[Book], visits: list[Book], samples: dict[int, list[int]]) -> list[str]:
    """List everything that must not be."""
    found = uneven(books)
    for book in [*books, *visits]:
        name = f"node {book['node']} run {book['run']}"
        found += [
            f"{name}: of node {line['sender']} run {line['run']}: {fault}"
            for line in book["received"]
            for fault in line["faults"]
        ]
        if book["accepted"] != book["sent"]:
            found.append(f"{name}: accepted {book['accepted']} of {book['sent']}")
    for node, sizes in samples.items():
        early, late = growth(sizes)
        if late > early * (1 + GROWTH_ALLOWED) + GROWTH_ALWAYS_ALLOWED:
            found.append(
                f"node {node} grew from {early / MEBIBYTE:.1f} to {late / MEBIBYTE:.1f} MiB"
            )
    return found


def growth(sizes: list[int]) -> tuple[float, float]:
    """Give the usual size in the second and in the last quarter of the time."""
    quarter = max(1, len(sizes) // 4)
    return (
        statistics.median(sizes[quarter : 2 * quarter] or sizes),
        statistics.median(sizes[-quarter:]),
    )


def table(books: list[Book], samples: dict[int, list[int]]) -> str:
    """Give a line for each resident."""
    rows = [
        (
            "node      sent       got      gap discarded overflow  share  reconnects"
            "  MiB early     late"
        )
    ]
    for book in books:
        missed: Counter[str] = Counter()
        got = sent = 0
        for other in books:
            if other is not book:
                for line in lines(book, other["node"]):
                    got += line["got"]
                    missed.update(line["missed"])
                sent += other["sent"]
        early, late = (size / MEBIBYTE for size in growth(samples[book["node"]]))
        rows.append(
            f"{book['node']:>4} {book['sent']:>9} {got:>9} {missed['gap']:>8}"
            f" {missed['discarded']:>9} {missed['overflow']:>8} {got / max(1, sent):>6.1%}"
            f" {book['reconnects']:>11}  {early:>9.1f} {late:>8.1f}"
        )
    return "\n".join(rows)
