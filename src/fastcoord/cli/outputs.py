"""Files for results: check before a run that they can be written, and write them after it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from fastcoord.cli.running import WrongUsage

__all__ = ["check_outputs", "write_output"]


def check_outputs(*files: str | None) -> None:
    """Check that results can be written, so that a long run is not lost.

    :param files: the names; ``None`` for a result that is not wanted, ``-`` for standard output.
    :raises WrongUsage: a file cannot be written, or several results go to standard output.
    """
    if files.count("-") > 1:
        raise WrongUsage("only one result can be written to standard output")
    for file in files:
        if file is None or file == "-":
            continue
        folder = Path(file).parent
        if Path(file).is_dir():
            raise WrongUsage(f"{file} cannot be written: it is a directory")
        if not folder.is_dir():
            raise WrongUsage(f"{file} cannot be written: there is no directory {folder}")
        if not os.access(file if Path(file).exists() else folder, os.W_OK):
            raise WrongUsage(f"{file} cannot be written: permission denied")


def write_output(file: str, text: str) -> None:
    """Write a result.

    :param file: the name, or ``-`` for standard output.
    :raises WrongUsage: the file cannot be written.
    """
    if file == "-":
        sys.stdout.write(text)
        return
    try:
        Path(file).write_text(text, encoding="utf-8")
    except OSError as error:
        raise WrongUsage(f"{file} cannot be written: {error.strerror}") from None
