"""Print results, and write them to files: check before a run that this is possible."""

from __future__ import annotations

import os
import secrets
import shutil
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from fastcoord.cli.running import WrongUsage

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["check_outputs", "print_lines", "write_output"]


def print_lines(lines: Iterable[str], file: TextIO | None = None) -> None:
    """Print lines; on a terminal, those that are too long continue at a word, indented.

    :param file: standard output by default.
    """
    output = file or sys.stdout
    if output.isatty():
        width = shutil.get_terminal_size().columns
        lines = [part for line in lines for part in _wrapped(line, width)]
    print("\n".join(lines), file=output)


def _wrapped(line: str, width: int) -> list[str]:
    if len(line) <= width:
        return [line]
    return textwrap.wrap(
        line, width, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
    )


def check_outputs(*files: str | None, source: str | None = None) -> None:
    """Check that results can be written, so that a long run is not lost.

    :param files: the names; ``None`` for a result that is not wanted, ``-`` for standard output.
    :param source: the configuration, which no result may replace.
    :raises WrongUsage: a file cannot be written, or is that of another result.
    """
    if files.count("-") > 1:
        raise WrongUsage("only one result can be written to standard output")
    used = {Path(source).resolve()} if source is not None else set()
    for file in files:
        if file is None or file == "-":
            continue
        if Path(file).resolve() in used:
            raise WrongUsage(f"{file} is needed twice: choose another file")
        used.add(Path(file).resolve())
        folder = Path(file).parent
        if Path(file).is_dir():
            raise WrongUsage(f"{file} cannot be written: it is a directory")
        if not folder.is_dir():
            raise WrongUsage(f"{file} cannot be written: there is no directory {folder}")
        if not os.access(file if Path(file).exists() else folder, os.W_OK):
            raise WrongUsage(f"{file} cannot be written: permission denied")


def write_output(file: str, text: str) -> None:
    """Write a result. If that fails, for example on a full disk, an older file stays as it was.

    :param file: the name, or ``-`` for standard output.
    :raises WrongUsage: the file cannot be written.
    """
    if file == "-":
        sys.stdout.write(text)
        return
    target = Path(file).resolve()
    try:
        # A device cannot be replaced, nor a file in a folder that permits no new one.
        is_special = target.exists() and not target.is_file()
        if is_special or not os.access(target.parent, os.W_OK):
            target.write_text(text, encoding="utf-8")
        else:
            _replace(target, text)
    except OSError as error:
        raise WrongUsage(f"{file} cannot be written: {error.strerror}") from None


def _replace(target: Path, text: str) -> None:
    temporary = target.with_name(f"{target.name}.{secrets.token_hex(6)}")
    try:
        temporary.write_text(text, encoding="utf-8")
        if target.exists():
            shutil.copymode(target, temporary)
        os.replace(temporary, target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
