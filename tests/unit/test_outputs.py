"""How the commands write the files with their results."""

import resource
from pathlib import Path

import pytest

from fastcoord.cli.outputs import write_output
from fastcoord.cli.running import WrongUsage


def test_full_disk_keeps_older_result(tmp_path: Path) -> None:
    file = tmp_path / "before.json"
    file.write_text("older")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(WrongUsage, match=r"before.json cannot be written: File too large"):
            write_output(str(file), "x" * 5000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert file.read_text() == "older"
    assert list(tmp_path.iterdir()) == [file]


def test_result_replaces_older_one(tmp_path: Path) -> None:
    file, alias = tmp_path / "result.json", tmp_path / "alias.json"
    file.write_text("older")
    file.chmod(0o640)
    alias.symlink_to(file)
    write_output(str(alias), "newer")
    assert (file.read_text(), file.stat().st_mode & 0o777) == ("newer", 0o640)
    assert alias.is_symlink()
