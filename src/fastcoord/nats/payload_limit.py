"""The size of the largest message that a server accepts from this node."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fastcoord.nats.servers import Server

__all__ = ["PayloadLimit"]

MIN_MAX_PAYLOAD = 512
"""The smallest usable limit, in bytes. The header and some events must fit."""


class PayloadLimit:
    """The limit of one connection: that of the server, or a smaller one of the user or account.

    The server sends the second one in a later INFO, which arrives after the first batches are sent.
    Until then, the limit of the previous connection to this server is used.

    :param server: the server; it stores the limits for the next connection.
    :ivar value: the limit in bytes, headers included.
    :ivar of_server: the limit of users without one of their own.
    """

    def __init__(self, server: Server) -> None:
        self._server = server
        self._is_confirmed = False
        self.value = self.of_server = 0

    def begin(self, of_server: int) -> None:
        """Use the limit in the first INFO."""
        self.value = self.of_server = of_server
        first, last = self._server.payload_limits
        # An unusable limit is not kept: the server would be refused before it sends a new one.
        if first == of_server and last >= MIN_MAX_PAYLOAD:
            self.value = last
        self._server.payload_limits = (of_server, self.value)

    def update(self, limit: int) -> bool:
        """Use the limit in a later INFO. Return whether it has changed."""
        self._is_confirmed = True
        has_changed = limit != self.value
        self.value = limit
        self._server.payload_limits = (self.of_server, limit)
        return has_changed

    def confirm(self) -> bool:
        """Use the server's limit if no later INFO has arrived. Return whether it has changed.

        Older servers send that INFO only to users with a limit of their own.
        """
        return not self._is_confirmed and self.update(self.of_server)

    @property
    def problem(self) -> str:
        """Why the limit is unusable; empty if it is usable."""
        if self.value >= MIN_MAX_PAYLOAD:
            return ""
        return (
            f"the server's max_payload of {self.value} bytes is too small for batches:"
            f" at least {MIN_MAX_PAYLOAD} are needed"
        )
