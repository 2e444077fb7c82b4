"""The internal part of ``Node``: ``Session`` creates the components and passes calls between them.

``cluster_events`` and ``connection_events`` have the callbacks of the components, ``ending`` ends a
node, and ``parts`` declares what they share.
"""

from fastcoord._session.session import Session

__all__ = ["Session"]
