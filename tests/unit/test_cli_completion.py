"""The completion scripts for shells."""

import subprocess
import sys
from pathlib import Path

import pytest

from fastcoord.cli import main
from fastcoord.cli.arguments import COMMANDS
from support.processes.finished import finished


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish", "tcsh"])
def test_completion_knows_each_command(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("shtab")
    assert main(["--print-completion", shell]) == 0
    script = capsys.readouterr().out
    for word in (*COMMANDS, "--connect", "--kind", "--base64", "--duplicate-window"):
        assert word.strip("-") in script


@pytest.fixture(scope="module")
def bash_script() -> str:
    pytest.importorskip("shtab")
    return finished("--print-completion", "bash").stdout


def test_completion_script_is_bash(bash_script: str) -> None:
    checked = subprocess.run(
        ["bash", "-n"], input=bash_script, capture_output=True, text=True, check=False
    )
    assert (checked.returncode, checked.stderr) == (0, "")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["ch"], {"check"}),
        (["check", "--con"], {"--connect"}),
        (["stream", ""], {"create", "info", "check"}),
        (["stream", "create", "--rep"], {"--replicas"}),
        (["decode", "--protocol", "stal"], {"stalwart-0.15", "stalwart-0.16", "stalwart-1.0"}),
        (["listen", "no"], {"node.toml"}),
        (["publish", "n"], {"node.toml"}),
        (["publish", "Queue"], {"QueueRefresh"}),
        (["publish", "node.toml", "RegistryIn"], {"RegistryInsert"}),
        (["publish", "node.toml", "StateChange", ""], {"account_id=", "change_id=", "types="}),
        (["publish", "StateChange", "account_id", "=", "7", ""], {"change_id=", "types="}),
        (["publish", "node.toml", "--peers", "EmailPush", "e"], {"email_id="}),
        (["publish", "node.toml", "QueueRefresh", ""], set()),
        (["publish", "node.toml", "StateChange", "types", "=", "Mail"], {"Mailbox"}),
        (["publish", "node.toml", "StateChange", "types", "=", "Email,Q"], {"Email,Quota"}),
        (["publish", "node.toml", "StateChange", "types=Mail"], {"types=Mailbox"}),
        (["publish", "node.toml", "MtaQueueStatus", "is_running", "="], {"true", "false"}),
        (["listen", "node.toml", "--kind", "StateC"], {"StateChange"}),
        (["listen", "node.toml", "--kind", "QueueRefresh,StateC"], {"QueueRefresh,StateChange"}),
    ],
)
def test_bash_completes_words(
    tmp_path: Path, bash_script: str, words: list[str], expected: set[str]
) -> None:
    (tmp_path / "node.toml").touch()
    ask = (
        f"\nCOMP_WORDS=(fastcoord {' '.join(words[:-1])} '{words[-1]}')\nCOMP_CWORD={len(words)}\n"
        'complete -p fastcoord > registered\n_fastcoord\nprintf "%s\\n" "${COMPREPLY[@]}"\n'
    )
    asked = subprocess.run(
        ["bash"], input=bash_script + ask, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert set(asked.stdout.split()) == expected
    assert "-F _fastcoord fastcoord" in (tmp_path / "registered").read_text()
    assert asked.stderr == ""


def test_completion_names_its_package(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delitem(sys.modules, "fastcoord.cli.completion", raising=False)
    monkeypatch.setitem(sys.modules, "shtab", None)
    assert main(["--print-completion", "bash"]) == 2
    assert "pip install 'fastcoord[cli]'" in capsys.readouterr().err
