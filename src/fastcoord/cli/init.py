"""``fastcoord init``: print a commented configuration to start from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastcoord.cli.arguments import node_id
from fastcoord.cli.running import WrongUsage
from fastcoord.config import parse_config, template
from fastcoord.errors import ConfigError

if TYPE_CHECKING:
    import argparse

__all__ = ["configure", "run"]

DESCRIPTION = """\
Print a TOML configuration with every setting and its meaning, for a cluster of fastcoord nodes or
for a node that joins a Stalwart cluster. Settings with a default are commented out.

example: fastcoord init stalwart --address nats.example.org --node-id 90 > node.toml
"""

OWN = """\
# The configuration of fastcoord nodes. All nodes of a cluster can use the same file: with node-id =
# "auto", each one chooses a free id when it starts. A number must be unique in the cluster.
"""

STALWART = """\
# The configuration of nodes that join a Stalwart 0.14 or 0.15 cluster. Address, credentials, TLS
# and subject must be those of the cluster. With node-id = "auto", each node chooses a free id from
# 16384 to 65535 when it starts. A number must differ from the ids of all other nodes, also of
# Stalwart nodes. For Stalwart 0.16 or 1.0, set protocol = "stalwart-0.16" or "stalwart-1.0".
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the description and the arguments of the command."""
    parser.description = DESCRIPTION
    parser.add_argument(
        "cluster",
        nargs="?",
        choices=("own", "stalwart"),
        default="own",
        help="the kind of cluster: own (default) or stalwart",
        metavar="CLUSTER",
    )
    parser.add_argument(
        "--address",
        action="append",
        metavar="ADDRESS,…",
        help="the NATS server, or several separated by commas (default: localhost:4222)",
    )
    parser.add_argument(
        "--node-id",
        type=node_id,
        default="auto",
        metavar="ID",
        help="a number, unique in the cluster, or auto: each node chooses a free one (default:"
        " auto)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Print the configuration.

    :param arguments: the parsed arguments.
    :return: the exit status.
    :raises WrongUsage: the address is not valid.
    """
    is_own = arguments.cluster == "own"
    text = template(
        addresses=arguments.address or ["localhost:4222"],
        node_id=arguments.node_id,
        protocol="fastcoord-1" if is_own else "stalwart-0.15",
    )
    try:
        parse_config(text)
    except ConfigError as error:
        said = "; ".join(problem.message for problem in error.problems)
        raise WrongUsage(f"--address: {said}") from None
    print((OWN if is_own else STALWART) + "\n" + text)
    return 0
