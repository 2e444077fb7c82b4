"""The configuration of a command: its file or URL, or the environment."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from fastcoord.cli.running import WrongUsage
from fastcoord.config import has_settings, load_with_sources

if TYPE_CHECKING:
    import argparse

    from fastcoord.config import Config

__all__ = ["add_file", "load", "load_settings"]

NOTHING_GIVEN = "no configuration is given: give FILE or URL, or set FASTCOORD_SERVERS"


def add_file(parser: argparse.ArgumentParser) -> None:
    """Add the argument that names the configuration."""
    parser.add_argument(
        "file",
        nargs="?",
        metavar="FILE|URL",
        help="the configuration, TOML or JSON; or nats://user:password@host:4222, completed with"
        " environment variables FASTCOORD_… (default: FASTCOORD_SERVERS and the other variables)",
    )


def load(file: str | None) -> Config:
    """Load the configuration of a command.

    :param file: the file or the URL of servers; ``None`` for environment variables only.
    :return: the configuration.
    :raises WrongUsage: nothing is given.
    :raises ConfigError: with all problems.
    """
    return load_settings(file)[0]


def load_settings(file: str | None) -> tuple[Config, dict[str, str]]:
    """Load the configuration of a command, and find the source of each setting.

    :param file: the file or the URL of servers; ``None`` for environment variables only.
    :return: the configuration, and the source of each given setting by its full TOML key.
    :raises WrongUsage: nothing is given.
    :raises ConfigError: with all problems.
    """
    if file is None and not has_settings(os.environ):
        raise WrongUsage(NOTHING_GIVEN)
    return load_with_sources(file)
