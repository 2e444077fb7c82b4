"""Copy the docstrings of public compiled classes and functions into their stubs, for editors.

With ``--check``, write nothing, and fail if a stub would change. A test runs the same check.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import sys
import textwrap
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MODULES = {
    "fastcoord._codec": ("Batch", "decode_batch", "encode_batch"),
    "fastcoord.publishing.blocking_publisher": ("BlockingPublisher",),
    "fastcoord.publishing.publisher": ("Publisher",),
    "fastcoord.publishing.publisher_base": ("PublisherBase",),
}
SIGNATURE = re.compile(r"\A[\w.]+\(.*?\)(?: -> .*?)?\n(?:[ ]*--\n)?\s*", re.DOTALL)
"""The signature that Cython writes before a docstring."""

Node = ast.ClassDef | ast.FunctionDef


def stub_of(module: str) -> Path:
    return ROOT / "src" / f"{module.replace('.', '/')}.pyi"


def with_docstrings(module: str) -> str:
    """Return the text of a stub with the docstrings of its module."""
    text = stub_of(module).read_text("utf-8")
    lines = text.splitlines()
    found = importlib.import_module(module)
    for node, value in reversed(list(documented(ast.parse(text), found, MODULES[module]))):
        written = docstring(value)
        first = node.body[0]
        old = first if isinstance(first, ast.Expr) and has_text(first) else None
        if not written or (old is not None and ast.get_docstring(node) == written):
            continue
        replace_body(lines, node, old, written)
    return "\n".join(lines).rstrip("\n") + "\n"


def documented(
    tree: ast.Module, module: object, names: tuple[str, ...]
) -> list[tuple[Node, object]]:
    """Return the definitions of these names and their methods, in the order of the text."""
    pairs: list[tuple[Node, object]] = []
    for node in tree.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name in names:
            value = getattr(module, node.name)
            pairs.append((node, value))
            if isinstance(node, ast.ClassDef):
                pairs += [
                    (inner, vars(value)[inner.name])
                    for inner in node.body
                    if isinstance(inner, ast.FunctionDef)
                    and not inner.name.startswith("_")
                    and not inner.decorator_list
                ]
    return pairs


def has_text(statement: ast.Expr) -> bool:
    return isinstance(statement.value, ast.Constant) and isinstance(statement.value.value, str)


def docstring(value: object) -> str:
    """Return a docstring without the signature that Cython puts in front."""
    return inspect.cleandoc(SIGNATURE.sub("", getattr(value, "__doc__", "") or ""))


def replace_body(lines: list[str], node: Node, old: ast.Expr | None, written: str) -> None:
    indent = " " * (node.col_offset + 4)
    text = textwrap.indent(f'"""{written}', indent)
    text += f'\n{indent}"""' if "\n" in written else '"""'
    block = [line.rstrip() for line in text.splitlines()]
    if node.col_offset == 0 and isinstance(node, ast.FunctionDef):
        block.append("")  # the formatter requires it
    first = node.body[0]
    if old is not None:
        assert old.end_lineno is not None
        lines[old.lineno - 1 : old.end_lineno] = block
    elif isinstance(node, ast.FunctionDef):
        head = lines[first.lineno - 1][: first.col_offset].rstrip()
        lines[first.lineno - 1 : first.lineno] = [head, *block] if head else block
    else:
        lines[node.body[0].lineno - 1 : node.body[0].lineno - 1] = block


def main() -> int:
    changed = []
    for module in MODULES:
        text = with_docstrings(module)
        if text != stub_of(module).read_text("utf-8"):
            changed.append(stub_of(module).relative_to(ROOT))
            if "--check" not in sys.argv:
                stub_of(module).write_text(text, "utf-8")
    print(*changed, sep="\n", end="\n" if changed else "")
    return int("--check" in sys.argv and bool(changed))


if __name__ == "__main__":
    sys.exit(main())
