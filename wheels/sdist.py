"""Build the sdist, and rewrite it so that the same source gives the same bytes."""

from __future__ import annotations

import gzip
import io
import sys
import tarfile
from pathlib import Path

from system import ROOT, Python, build_environment, clean_environment, run, source_date_epoch


def build_sdist(python: Python, folder: Path) -> Path:
    """Build the sdist of the checkout.

    :param folder: where to write it.
    :return: its path.
    """
    environment = {**clean_environment(), **build_environment(python)}
    command = (sys.executable, "-m", "build", "--sdist", "--outdir", folder / "raw", ROOT)
    run(*command, cwd=folder, environment=environment)
    (raw,) = (folder / "raw").glob("*.tar.gz")
    return normalise(raw, folder / raw.name, int(source_date_epoch()))


def normalise(source: Path, target: Path, epoch: int) -> Path:
    """Rewrite an archive with sorted members, without the users, modes and times of this machine.

    :param epoch: the time of every member, in seconds since the epoch.
    :return: ``target``.
    """
    inner = io.BytesIO()
    with (
        tarfile.open(source) as old,
        tarfile.open(fileobj=inner, mode="w", format=tarfile.PAX_FORMAT) as new,
    ):
        for member in sorted(old.getmembers(), key=lambda member: member.name):
            if not member.isfile():
                continue  # the paths of the files imply the folders
            content = old.extractfile(member)
            assert content is not None
            entry = tarfile.TarInfo(member.name)
            entry.size = member.size
            entry.mtime = epoch
            entry.mode = 0o755 if member.mode & 0o100 else 0o644
            new.addfile(entry, content)
    with target.open("wb") as file, gzip.GzipFile("", "wb", 9, file, mtime=epoch) as packed:
        packed.write(inner.getvalue())
    return target


def files_of(sdist: Path) -> dict[str, bytes]:
    """Return the contents of every file, by its name below the archive's own folder."""
    with tarfile.open(sdist) as archive:
        return {
            member.name.partition("/")[2]: file.read()
            for member in archive.getmembers()
            if (file := archive.extractfile(member)) is not None
        }
