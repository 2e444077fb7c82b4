"""How the commands write the files with their results."""

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from fastcoord.cli.outputs import check_outputs, keeps_older, write_output
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


def test_long_name_is_written(tmp_path: Path) -> None:
    file = tmp_path / ("x" * 250)  # the name of a temporary file beside it would be too long
    write_output(str(file), "text")
    assert file.read_text() == "text"


@pytest.mark.parametrize("name", ["x" * 300, "absent/file", "file/below", "empty", "pipe"])
def test_interrupted_run_keeps_only_results(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("older")
    (tmp_path / "empty").touch()
    os.mkfifo(tmp_path / "pipe")
    assert not keeps_older(str(tmp_path / name))
    assert keeps_older(str(tmp_path / "file"))


@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"])
@pytest.mark.parametrize("is_pipe", [True, False])
def test_standard_output_keeps_lines(tmp_path: Path, name: str, is_pipe: bool) -> None:
    script = (
        "import sys; from fastcoord.cli.outputs import check_outputs, write_output; print('lines');"
        "check_outputs(sys.argv[1]); write_output(sys.argv[1], 'result\\n'); print('end')"
    )
    file = tmp_path / "output"
    file.write_text("before\n")
    with file.open("a") as output:
        done = subprocess.run(
            [sys.executable, "-c", script, name],
            stdout=subprocess.PIPE if is_pipe else output,
            text=True,
            check=True,
        )
    written = done.stdout if is_pipe else file.read_text().removeprefix("before\n")
    assert written == "lines\nresult\nend\n"


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("loop", "Too many levels of symbolic links"),
        ("dangling", "there is no directory "),
        ("no-folder/result", "there is no directory no-folder"),
        ("file/result", "Not a directory"),
        ("x" * 300, "File name too long"),
        ("", "it is a directory"),
        ("/dev/fd/77", "Bad file descriptor"),
    ],
)
def test_unwritable_name_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, problem: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    Path("loop").symlink_to("loop")
    Path("dangling").symlink_to("no-folder/result")
    with pytest.raises(WrongUsage, match=f"{name} cannot be written: {problem}"):
        check_outputs(name)
