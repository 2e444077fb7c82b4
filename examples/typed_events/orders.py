"""The events of a shop. Every program of the shop imports this module."""

from dataclasses import dataclass

import msgspec

import fastcoord


@fastcoord.event(kind=1)
class OrderPlaced(msgspec.Struct, frozen=True):
    order: int
    articles: dict[str, int]
    express: bool = False  # added later: old programs do not send it


@fastcoord.event(kind=2)
@dataclass(frozen=True)
class OrderCancelled:
    order: int
    reason: str = "by the customer"
