"""The configuration of commands from environment variables."""

from pathlib import Path

import pytest

from fastcoord.cli import main


@pytest.fixture(autouse=True)
def servers(monkeypatch: pytest.MonkeyPatch) -> None:
    # Nothing listens on port 1.
    monkeypatch.setenv("FASTCOORD_SERVERS", "127.0.0.1:1")
    monkeypatch.setenv("FASTCOORD_STREAM", "AGORA")


def test_check_names_variables(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check"]) == 0
    rows = [line.split(maxsplit=2) for line in capsys.readouterr().out.splitlines()]
    sources = {key: source for key, _, source in rows}
    assert sources['store."nats".address'] == "environment variable FASTCOORD_SERVERS"
    assert sources["cluster.stream"] == "environment variable FASTCOORD_STREAM"
    assert sources["cluster.heartbeat"] == "default"


@pytest.mark.parametrize(
    "words",
    [
        "listen",
        "listen --raw",
        "peers --wait 0",
        "stream check",
        "stream info --json",
        "publish -",
        "publish ReloadSettings",
        "publish --peers ReloadSettings",
        "publish StateChange --peers account_id=7 change_id=1 types=Email",
    ],
)
def test_command_uses_variables(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words.split()) == 1
    assert "127.0.0.1:1: Connection refused" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("HEARTBEAT", "soon", 'FASTCOORD_HEARTBEAT: "soon" was given'),
        ("USER", "node", "FASTCOORD_USER: FASTCOORD_PASSWORD is missing; both are needed"),
        ("HEARTBEET", "1s", "FASTCOORD_HEARTBEET: unknown; the nearest known is FASTCOORD_HEARTBE"),
        ("SERVERS", "", "FASTCOORD_SERVERS: missing; give FILE or URL, or set it"),
    ],
)
def test_problem_names_variable(
    name: str,
    value: str,
    problem: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv(f"FASTCOORD_{name}", value)
    assert main(["peers"]) == 1
    assert f"fastcoord: environment variable {problem}" in capsys.readouterr().err


def test_unnamed_stream_names_variable(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("FASTCOORD_STREAM")
    assert main(["stream", "check"]) == 1
    assert capsys.readouterr().err == (
        "fastcoord: no stream is named: set FASTCOORD_STREAM to its name\n"
    )


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        ("ReloadSettings", "127.0.0.1:1: Connection refused"),
        ("StateChange account_id=7 change_id=1 types=1", "127.0.0.1:1: Connection refused"),
        ("ReloadSettings ReloadSettings", 'ReloadSettings: store."nats".address: missing'),
        ("ReloadSettings -", 'ReloadSettings: store."nats".address: missing'),
        ("./ReloadSettings -", './ReloadSettings: store."nats".address: missing'),
    ],
)
def test_event_precedes_file(
    words: str,
    problem: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("ReloadSettings", "StateChange"):
        Path(name).write_text('store."nats".type = "nats"\ncluster.coordinator = "nats"\n')
    assert main(["publish", *words.split()]) == 1
    assert problem in capsys.readouterr().err


def test_empty_name_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", ""]) == 1
    assert "an empty text was given" in capsys.readouterr().err
