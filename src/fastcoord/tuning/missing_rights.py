"""Describe the rights that a run lacks on the server."""

from __future__ import annotations

import re

from fastcoord.errors import PermissionDenied
from fastcoord.nats.rights import Right

__all__ = ["missing_rights_text"]

REFUSED = re.compile(r"permit this user to (publish on|subscribe to) ([^\s:]+): ")


def missing_rights_text(failure: str, subject: str, prefix: str) -> str:
    """Name each missing right once, for the subjects of all runs.

    A run has the same rights on its subject and on the one for presence, and no configuration
    could change the latter.

    :param failure: the error of a process.
    :param subject: the subject of the run; its last part is random.
    :param prefix: the first part of the subjects of all runs.
    :return: ``failure``, if it is not about a missing right.
    """
    refused = REFUSED.findall(failure)
    if not failure.startswith(PermissionDenied.__name__) or not refused:
        return failure
    rights: dict[Right, None] = {}
    for action, refused_subject in refused:
        is_own = refused_subject == subject or refused_subject.startswith(f"{subject}.")
        where = f"{prefix}.>" if is_own else refused_subject
        rights[Right("publish" if action == "publish on" else "subscribe", where)] = None
    text = "; ".join(str(each.denied()) for each in rights)
    return f"{PermissionDenied.__name__}: {text}; or choose another place with --subject"
