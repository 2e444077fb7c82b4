"""``fastcoord check`` without a server: settings, sources and problems."""

import json
from pathlib import Path

import pytest

from fastcoord.cli import main
from support.inputs.config_texts import DATA, LOGIN_TOML


def test_check_prints_settings_without_secrets(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "node.toml"
    file.write_text(LOGIN_TOML)
    assert main(["check", str(file)]) == 0
    output = capsys.readouterr().out
    assert "hunter2" not in output
    lines = {line.split()[0]: line.split()[1] for line in output.splitlines()}
    assert lines['store."nats".address'] == "127.0.0.1:4222"
    assert lines['store."nats".password'] == "***"
    assert lines["cluster.heartbeat"] == "2s"


def test_check_prints_problem_per_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "node.toml"
    file.write_text(LOGIN_TOML.replace("user =", "usr =") + 'heartbeat = "0s"\n')
    assert main(["check", str(file)]) == 1
    output = capsys.readouterr()
    assert output.out == ""
    lines = output.err.splitlines()
    assert len(lines) >= 2
    assert all(line.startswith(f"fastcoord: {file}") for line in lines)
    assert "hunter2" not in output.err


@pytest.mark.parametrize("command", ["check", "listen"])
def test_missing_file_is_named(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "/nonexistent/node.toml"]) == 1
    error = capsys.readouterr().err
    assert error == "fastcoord: /nonexistent/node.toml: there is no such file\n"


def test_check_prints_sources(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "node.toml"
    file.write_text(LOGIN_TOML)
    assert main(["check", str(file)]) == 0
    rows = {line.split()[0]: line.split()[-1] for line in capsys.readouterr().out.splitlines()}
    assert rows['store."nats".address'] == f"{file}:4"
    assert rows['store."nats".password'] == f"{file}:6"
    assert rows["cluster.coordinator"] == f"{file}:9"
    assert rows["cluster.heartbeat"] == "default"


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        (
            "stalwart/compact.toml",
            {
                'store."nats".address': 5,
                'store."nats".user': 7,
                'store."nats".password': 7,
                "cluster.coordinator": 3,
                "cluster.node-id": 3,
            },
        ),
        (
            "stalwart/flat.toml",
            {
                'store."nats".address': 22,
                'store."nats".user': 26,
                'store."nats".password': 24,
                "cluster.coordinator": 4,
                "cluster.node-id": 5,
            },
        ),
        ("coordinator.json", {'store."nats".timeout.request': 10, "cluster.max-age": 19}),
    ],
)
def test_each_form_has_sources(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    lines: dict[str, int],
) -> None:
    monkeypatch.setenv("FASTCOORD_TEST_PASSWORD", "hunter2")
    file = str(DATA / name)
    assert main(["check", "--json", file]) == 0
    settings = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    found = {each["setting"]: each["source"] for each in settings}
    assert {key: found[key] for key in lines} == {
        key: f"{file}:{line}" for key, line in lines.items()
    }


def test_check_prints_settings_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "node.toml"
    file.write_text(LOGIN_TOML)
    assert main(["check", "--json", str(file)]) == 0
    output = capsys.readouterr().out
    assert "hunter2" not in output
    lines = [json.loads(line) for line in output.splitlines()]
    found = {line.pop("setting"): line for line in lines}
    assert found['store."nats".address'] == {"value": ["127.0.0.1:4222"], "source": f"{file}:4"}
    assert found['store."nats".password'] == {"value": "***", "source": f"{file}:6"}
    assert found['store."nats".capacity.client'] == {"value": 2048, "source": "default"}
    assert found['store."nats".max-reconnects'] == {"value": None, "source": "default"}
    assert found["cluster.heartbeat"] == {"value": "2s", "source": "default"}
    assert found["cluster.pace"] == {"value": "auto", "source": "default"}
    assert main(["check", str(file)]) == 0
    assert list(found) == [line.split()[0] for line in capsys.readouterr().out.splitlines()]


def test_check_warns_of_no_reconnect(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "node.toml"
    file.write_text(LOGIN_TOML.replace("[cluster]", "max-reconnects = 0\n[cluster]"))
    assert main(["check", str(file)]) == 0
    error = capsys.readouterr().err
    assert error.startswith("fastcoord: max-reconnects = 0: this node ends")
    assert error.count("\n") == 1
