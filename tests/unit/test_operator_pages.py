"""The pages for operators: their commands parse, and their error texts are those of the code."""

import re
import shlex
from pathlib import Path

import pytest

from fastcoord.cli.arguments import build_parser

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = ("monitoring.md", "permissions.md", "stalwart.md", "start.md", "troubleshooting.md")
SYMPTOMS = re.findall(
    r"^\| `([^`]+)`[^|]*\|", (DOCS / "troubleshooting.md").read_text("utf-8"), re.MULTILINE
)
FROM_SYSTEM = {"Connection refused"}
JOINED = re.compile(r"\"\s*\n\s*f?\"")


def code() -> str:
    """Return the source with its string literals joined, as Python joins them."""
    files = [*(ROOT / "src").rglob("*.py"), *(ROOT / "src").rglob("*.pyx")]
    return "\n".join(JOINED.sub("", path.read_text("utf-8")) for path in files)


@pytest.fixture(scope="module")
def source() -> str:
    return code()


@pytest.mark.parametrize("text", [each for each in SYMPTOMS if not each.startswith('"')])
def test_symptom_is_text_of_code(text: str, source: str) -> None:
    is_call = re.fullmatch(r"\w+\(\)", text) is not None
    assert text in FROM_SYSTEM or is_call or text in source


COMMANDS = [
    re.split(r" [>|&]", line)[0]
    for page in PAGES
    for block in re.findall(r"```sh\n(.*?)```", (DOCS / page).read_text("utf-8"), re.DOTALL)
    for line in block.splitlines()
    if line.startswith("fastcoord ")
]


@pytest.mark.parametrize("command", COMMANDS)
def test_documented_command_parses(command: str) -> None:
    words = shlex.split(command)[1:]
    assert build_parser(words).parse_args(words).command == words[0]
