"""Completion scripts: those of shtab, which also complete events, their fields and values."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

import shtab

from fastcoord.cli.event_text import DATA_TYPES, OBJECTS
from fastcoord.wire.table import KINDS

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Mapping

__all__ = ["completion_script"]

EVENTS = sorted(kind.name for kind in KINDS)
FIELDS = {kind.name: [f"{field.name}=" for field in kind.fields] for kind in KINDS}
VALUES = {
    "types": list(DATA_TYPES.values()),
    "object": list(OBJECTS.values()),
    "is_running": ["true", "false"],
}

BASH = r"""
_fastcoord_kinds() {
  local list="${1%"${1##*,}"}"
  compgen -P "$list" -W "EVENTS" -- "${1#"$list"}"
}

_fastcoord_event() {
  local kind= field= lead= list= each word="$1" before="${COMP_WORDS[COMP_CWORD-1]}"
  for each in "${COMP_WORDS[@]:2:COMP_CWORD-2}"; do
    _fastcoord_fields "$each" > /dev/null && kind="$each" && break
  done
  if [[ -z "$kind" ]]; then
    compgen -W "EVENTS" -- "$word"
    return
  fi
  # By default "=" is a word of its own.
  if [[ "$word" == "=" ]]; then
    field="$before" word=
  elif [[ "$before" == "=" ]]; then
    field="${COMP_WORDS[COMP_CWORD-2]}"
  elif [[ "$word" == *=* ]]; then
    field="${word%%=*}" lead="${word%%=*}=" word="${word#*=}"
  fi
  if [[ -n "$field" ]]; then
    list="${word%"${word##*,}"}"
    compgen -P "$lead$list" -W "$(_fastcoord_values "$field")" -- "${word#"$list"}"
    return
  fi
  for each in $(_fastcoord_fields "$kind"); do
    [[ " ${COMP_WORDS[*]} " == *" ${each%=} = "* || " ${COMP_WORDS[*]}" == *" $each"* ]] ||
      compgen -W "$each" -- "$word"
  done
}

_fastcoord_file_or_event() {
  compgen -f -- "$1"
  _fastcoord_event "$1"
}
"""

BASH_END = r"""
_fastcoord() {
  _shtab_fastcoord "$@"
  # A value follows the name of a field.
  [[ "${COMPREPLY[0]-}" != *= ]] || compopt -o nospace 2> /dev/null || :
}

complete -o bashdefault -F _fastcoord fastcoord
"""

ZSH = r"""
_fastcoord_kinds() {
  compset -P '*,'
  compadd -- EVENTS
}

_fastcoord_event() {
  local kind field each
  local -a left
  for each in "${(@)words[2,CURRENT-1]}"; do
    if _fastcoord_fields "$each" > /dev/null; then kind="$each"; break; fi
  done
  if [[ -z "$kind" ]]; then
    compadd -- EVENTS
    return
  fi
  if [[ "$PREFIX" == *=* ]]; then
    field="${PREFIX%%=*}"
    compset -P 1 '*='
    compset -P '*,'
    compadd -- $(_fastcoord_values "$field")
    return
  fi
  for each in $(_fastcoord_fields "$kind"); do
    (( ${words[(I)$each*]} )) || left+=("${each%=}")
  done
  compadd -q -S = -- $left
}

_fastcoord_file_or_event() {
  _files
  _fastcoord_event
}
"""

FISH = r"""
function _fastcoord_items
  # Complete the last item of a list.
  set -l before (string replace -r '[^=,]*$' '' -- (commandline -ct))
  for each in $argv
    echo $before$each
  end
end

function _fastcoord_kinds
  _fastcoord_items EVENTS
end

function _fastcoord_event
  set -l words (commandline -opc)
  set -l kind
  for each in $words[2..-1]
    if _fastcoord_fields $each > /dev/null
      set kind $each
      break
    end
  end
  if test -z "$kind"
    printf '%s\n' EVENTS
    return
  end
  set -l word (commandline -ct)
  if string match -q '*=*' -- $word
    _fastcoord_items (_fastcoord_values (string split -m1 = -- $word)[1])
    return
  end
  for each in (_fastcoord_fields $kind)
    string match -q -- "$each*" $words; or echo $each
  end
end

function _fastcoord_file_or_event
  __fish_complete_path (commandline -ct)
  _fastcoord_event
end
"""

FUNCTIONS = {"bash": BASH, "zsh": ZSH, "fish": FISH}


def completion_script(
    parser: argparse.ArgumentParser, commands: Iterable[argparse.ArgumentParser], shell: str
) -> str:
    """Return the completion script of a shell.

    :param parser: the parser, with all commands configured.
    :param commands: the parsers of the commands and of their actions.
    :param shell: ``bash``, ``zsh``, ``fish`` or ``tcsh``, which completes no events.
    """
    for command in commands:
        takes_event = any(action.dest == "event" for action in command._actions)
        for action in command._actions:
            _complete(action, takes_event=takes_event)
    functions = ""
    if shell in FUNCTIONS:
        functions = FUNCTIONS[shell].replace("EVENTS", " ".join(EVENTS))
        function = _fish_function if shell == "fish" else _shell_function
        functions += function("_fastcoord_fields", FIELDS)
        functions += function("_fastcoord_values", VALUES)
    script = shtab.complete(parser, shell=shell, preamble=functions)
    if shell == "zsh":
        # shtab completes only the first word of an argument with any number of words.
        script = re.sub(r'"\(\*\)::([^"]*:_fastcoord_event")', r'"*:\1', script)
    return script + BASH_END if shell == "bash" else script


def _complete(action: argparse.Action, *, takes_event: bool) -> None:
    """Set how an argument is completed."""
    name = {"kind": "kinds", "event": "event"}.get(action.dest)
    if action.dest == "file" and takes_event:
        name = "file_or_event"
    if name is not None:
        function = f"_fastcoord_{name}"
        how = {"bash": function, "zsh": function, "fish": f"({function})", "tcsh": ""}
        action.complete = how | ({"tcsh": "f"} if action.dest == "file" else {})  # type: ignore[attr-defined]
    elif action.dest == "file":
        action.complete = shtab.FILE  # type: ignore[attr-defined]


def _shell_function(name: str, words: Mapping[str, Iterable[str]]) -> str:
    """Return a function of bash or zsh that prints the words for its argument, or fails."""
    cases = (f"    {key}) echo {shlex.join(values)} ;;" for key, values in words.items())
    return "\n".join(
        [f"\n{name}() {{", '  case "$1" in', *cases, "    *) return 1 ;;", "  esac\n}\n"]
    )


def _fish_function(name: str, words: Mapping[str, Iterable[str]]) -> str:
    """Return a function of fish that prints the words for its argument, or fails."""
    cases = (
        f"    case {key}\n      string split ' ' {shlex.quote(' '.join(values))}"
        for key, values in words.items()
    )
    end = ["    case '*'", "      return 1", "  end", "end\n"]
    return "\n".join([f"\nfunction {name}", '  switch "$argv[1]"', *cases, *end])
