"""A coordination bus for clusters of Python processes over NATS."""

from fastcoord._codec import Batch, decode_batch, encode_batch
from fastcoord.errors import *  # noqa: F403
from fastcoord.events import *  # noqa: F403
