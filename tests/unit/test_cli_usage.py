"""The command line without a cluster: help, and wrong usage."""

import re
import shlex

import pytest

from fastcoord.cli import main
from fastcoord.cli.arguments import COMMANDS, SentenceParser, build_parser


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["help", "check"], ["FILE", "--connect"]),
        (["help"], list(COMMANDS)),
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
        (["publish", "StateChange", "types=1"], "StateChange: missing account_id=…, change_id=…"),
        (["publish", "statechange", "types=1"], "'statechange', did you mean StateChange?"),
        (["publish", "ReloadSettings"], "no configuration is given: give FILE or URL, or set"),
        (["chekc", "a.toml"], "did you mean check?"),
        (["stream", "chek", "a.toml"], "did you mean check?"),
        (["stream", "crate", "a.toml"], "did you mean create?"),
        (["stream", "create", "a", "--max-age", "0s"], "'0s' is not a duration such as 250ms"),
        (["init", "--node-id", "x"], "whole number from 0 to 65,535, or auto for a free one"),
        (["stream"], "the following arguments are required: ACTION"),
        (["init", "Stalwart"], "did you mean stalwart?"),
        (["decode", "--protocol", "stalwart", "00"], "invalid choice: 'stalwart'"),
        (["--json", "check", "a"], "no argument '--json' here: options stand behind the command"),
        (["--node-id", "5", "listen"], "'--node-id' here: options stand behind the command"),
        (["--verison"], "there is no argument '--verison' here, did you mean --version?"),
        (["peers", "a.toml", "--watch", "--wait", "5"], "leave out --wait"),
        (["peers", "a.toml", "--wait", "x"], "'x' is not a number from 0 to 3,600"),
        (["stream", "create", "a", "--max-age", "3600"], "write a unit, as in 3600s"),
        (["check"], "no configuration is given: give FILE or URL, or set FASTCOORD_SERVERS"),
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
