"""Print results, and write them to files: check before a run that this is possible."""

from __future__ import annotations

import errno
import os
import re
import secrets
import shutil
import stat
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from fastcoord.cli.running import WrongUsage

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["check_outputs", "keeps_older", "print_lines", "write_output"]

DESCRIPTOR = re.compile(r"/dev/(stdout|stderr)|/(?:dev|proc/self)/fd/(\d+)")

IRREPLACEABLE = frozenset({errno.EACCES, errno.EBUSY, errno.ENAMETOOLONG, errno.EPERM, errno.EROFS})
"""Errors of files that can only be overwritten: the folder permits no new file or has a sticky bit,
the file is mounted into a container, or the temporary file's name is too long."""


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
    used = {os.path.realpath(source)} if source is not None else set()
    for file in files:
        if file is None or file == "-":
            continue
        if os.path.realpath(file) in used:
            raise WrongUsage(f"{file} is needed twice: choose another file")
        used.add(os.path.realpath(file))
        problem = _problem(file)
        if problem is not None:
            raise WrongUsage(f"{file} cannot be written: {problem}")


def _problem(file: str) -> str | None:
    """Return why a file cannot be written, or ``None``."""
    descriptor = _descriptor(file)
    try:
        mode = os.stat(Path(file) if descriptor is None else descriptor).st_mode
        is_directory, is_writable = stat.S_ISDIR(mode), os.access(file, os.W_OK)
    except FileNotFoundError:
        folder = Path(os.path.realpath(file) if os.path.islink(file) else file).parent
        if not folder.is_dir():
            return f"there is no directory {folder}"
        is_directory, is_writable = False, os.access(folder, os.W_OK)
    except OSError as error:
        return str(error.strerror)
    if is_directory:
        return "it is a directory"
    return None if is_writable else "permission denied"


def keeps_older(file: str) -> bool:
    """Return whether a result of an interrupted run must not replace what a file holds, and say so.

    The older result may be the base of a comparison. What was measured now is printed anyway.
    """
    if file == "-" or _descriptor(file) is not None:
        return False
    try:
        found = os.stat(file)
    except OSError:  # there is no such file, or writing it will report the error
        return False
    is_kept = stat.S_ISREG(found.st_mode) and found.st_size > 0
    if is_kept:
        print(f"fastcoord: {file} is kept: this run was interrupted", file=sys.stderr)
    return is_kept


def write_output(file: str, text: str) -> None:
    """Write a result. If that fails, for example on a full disk, an older file stays as it was.

    :param file: the name, or ``-`` for standard output.
    :raises WrongUsage: the file cannot be written.
    """
    if file == "-":
        sys.stdout.write(text)
        return
    try:
        descriptor = _descriptor(file)
        if descriptor is not None:
            _write_to_descriptor(descriptor, text)
        elif os.path.exists(file) and not os.path.isfile(file):
            Path(file).write_text(text, encoding="utf-8")  # a device cannot be replaced
        else:
            _replace_or_write(Path(os.path.realpath(file)), text)
    except OSError as error:
        raise WrongUsage(f"{file} cannot be written: {error.strerror}") from None


def _descriptor(file: str) -> int | None:
    """Return the descriptor that a name such as ``/dev/stdout`` or ``/dev/fd/63`` means."""
    found = DESCRIPTOR.fullmatch(file)
    if found is None or os.name != "posix":
        return None
    return {"stdout": 1, "stderr": 2}[found[1]] if found[1] else int(found[2])


def _write_to_descriptor(descriptor: int, text: str) -> None:
    # To open a file once more would overwrite what this process has printed to it.
    sys.stdout.flush()
    with os.fdopen(os.dup(descriptor), "w", encoding="utf-8") as output:
        output.write(text)


def _replace_or_write(target: Path, text: str) -> None:
    try:
        _replace(target, text)
    except OSError as error:
        if error.errno not in IRREPLACEABLE:
            raise
        target.write_text(text, encoding="utf-8")


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
