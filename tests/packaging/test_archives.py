"""What ``make wheels`` finds wrong in archives, and what makes two builds alike."""

import io
import json
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "wheels"))

import check  # noqa: E402
from sdist import files_of, normalise  # noqa: E402
from system import Python, constrained_versions, find_pythons  # noqa: E402

THIS_PYTHON = Python(sys.executable, "CPython", "cc", "cc", "/opt/python")
INFORMATION = "fastcoord-0.1.0.dist-info/"
METADATA = "Name: fastcoord\nLicense-Expression: Apache-2.0\nProvides-Extra: server\n"
BINARY = b"\0_cython_" + constrained_versions()["Cython"].replace(".", "_").encode() + b"\0"
SOURCES = {
    "src/fastcoord/__init__.py": b"",
    "src/fastcoord/py.typed": b"",
    "src/fastcoord/wire/scan.pyx": b"",
    "src/fastcoord/wire/scan.pxd": b"# header",
    "src/fastcoord/wire/scan.pyi": b"# stub",
}
CONTENTS = {
    **{name.removeprefix("src/"): text for name, text in SOURCES.items() if "pyx" not in name},
    "fastcoord/wire/scan.cpython-311-x86_64-linux-gnu.so": BINARY,
    INFORMATION + "METADATA": METADATA.encode(),
    INFORMATION + "entry_points.txt": b"[console_scripts]\nfastcoord = fastcoord.cli:main\n",
    INFORMATION + "licenses/LICENSE": b"",
}


def write_sdist(path: Path, files: dict[str, bytes], *, mtime: int = 0, mode: int = 0o644) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(f"fastcoord-0.1.0/{name}")
            entry.size, entry.mtime, entry.mode, entry.uname = len(content), mtime, mode, "me"
            archive.addfile(entry, io.BytesIO(content))
    return path


def problems_with(folder: Path, contents: dict[str, bytes]) -> list[str]:
    wheel = folder / "fastcoord-0.1.0-cp311-cp311-manylinux_2_17_x86_64.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
    sdist = write_sdist(folder / "fastcoord-0.1.0.tar.gz", SOURCES)
    return check.check_wheel(wheel, sdist, THIS_PYTHON, [Path("/build/here")])


def test_complete_wheel_has_no_problem(tmp_path: Path) -> None:
    assert problems_with(tmp_path, CONTENTS) == []


@pytest.mark.parametrize("missing", [name for name in CONTENTS if name.endswith((".py", ".pxd"))])
def test_missing_file_is_found(tmp_path: Path, missing: str) -> None:
    contents = {name: content for name, content in CONTENTS.items() if name != missing}
    assert problems_with(tmp_path, contents) == [f"{missing} is missing"]


@pytest.mark.parametrize("stray", ["fastcoord/wire/scan.c", "tests/conftest.py", "fastcoord/a.py"])
def test_stray_file_is_found(tmp_path: Path, stray: str) -> None:
    assert problems_with(tmp_path, {**CONTENTS, stray: b""}) == [f"{stray} does not belong in it"]


def test_changed_file_is_found(tmp_path: Path) -> None:
    changed = {**CONTENTS, "fastcoord/wire/scan.pxd": b"# another"}
    found = problems_with(tmp_path, changed)
    assert found == ["fastcoord/wire/scan.pxd is not the file of the sdist"]


def test_uncompiled_module_is_found(tmp_path: Path) -> None:
    contents = {name: content for name, content in CONTENTS.items() if not name.endswith(".so")}
    assert "fastcoord/wire/scan was compiled 0 times" in problems_with(tmp_path, contents)


@pytest.mark.parametrize("folder", ["/build/here", "/opt/python"])
def test_build_path_is_found(tmp_path: Path, folder: str) -> None:
    module = "fastcoord/wire/scan.cpython-311-x86_64-linux-gnu.so"
    binary = BINARY + f"{folder}/include/Python.h\0".encode()
    assert problems_with(tmp_path, {**CONTENTS, module: binary}) == [f"{module} names {folder}"]


def test_other_cython_is_found(tmp_path: Path) -> None:
    module = "fastcoord/wire/scan.cpython-311-x86_64-linux-gnu.so"
    (found,) = problems_with(tmp_path, {**CONTENTS, module: b"\0_cython_3_0_1\0"})
    assert found.startswith("translated by Cython {'3.0.1'}")


def test_untagged_wheel_is_found(tmp_path: Path) -> None:
    tag = "cp311-cp311-linux_x86_64"
    assert check.check_tag(tmp_path / f"fastcoord-0.1.0-{tag}.whl") == [
        f"the tag {tag} is valid on this machine only"
    ]


def test_normalised_archives_are_identical(tmp_path: Path) -> None:
    one = write_sdist(tmp_path / "one.tar.gz", SOURCES, mtime=1)
    backwards = dict(reversed(SOURCES.items()))
    other = write_sdist(tmp_path / "other.tar.gz", backwards, mtime=2, mode=0o664)
    normalise(one, tmp_path / "a", 1_700_000_000)
    normalise(other, tmp_path / "b", 1_700_000_000)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert files_of(tmp_path / "a") == SOURCES


def test_unknown_interpreter_is_refused() -> None:
    with pytest.raises(SystemExit, match=r"there is no interpreter python9\.9"):
        find_pythons(["python9.9"])


def test_interpreters_are_asked_once_each() -> None:
    (found,) = find_pythons([sys.executable])
    assert Path(found.executable).exists()
    assert found.name == f"CPython {sys.version.split()[0]}"


@pytest.fixture
def bill(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    module = pytest.importorskip("bill")
    monkeypatch.setattr(module, "DIST", tmp_path)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    metadata = (
        "Version: 0.1.0\nRequires-Dist: nats-py[nkeys]<3,>=2.16\n"
        'Requires-Dist: rich>=13; extra == "cli"\nRequires-Dist: rich>=12; extra == "live"\n'
    )
    files = {**SOURCES, "PKG-INFO": metadata.encode()}
    sdist = write_sdist(tmp_path / "fastcoord-0.1.0.tar.gz", files)
    path: Path = module.write_bill(sdist, {})
    return path


def test_bill_lists_dependencies(bill: Path) -> None:
    components = {each["name"]: each for each in json.loads(bill.read_text())["components"]}
    assert components["nats-py"]["scope"] == "required"
    assert components["rich"]["scope"] == "optional"
    assert [each["value"] for each in components["nats-py"]["properties"]] == [
        "nats-py[nkeys]<3,>=2.16"
    ]


def test_checksums_cover_every_file(bill: Path) -> None:
    sums = (bill.parent / "SHA256SUMS").read_text()
    assert [line.split()[1] for line in sums.splitlines()] == [
        "fastcoord-0.1.0.cdx.json",
        "fastcoord-0.1.0.tar.gz",
    ]
