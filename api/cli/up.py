"""``up`` starts the service on this machine; ``code`` says where its code is."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from . import local_service, server_code


def add_commands(commands: Any) -> None:
    """Add both commands to the parsers of ``framemill``."""
    code = commands.add_parser(
        "code",
        help="print the folder of the server's code",
        description="Print the folder of the server's code, for PYTHONPATH.",
    )
    code.set_defaults(run=_print_code)
    parser = commands.add_parser(
        "up",
        help="start the service on this machine",
        description="Start the whole service on this machine, until Ctrl-C: the API, "
        "workers, the reaper, Flower, and Valkey and S3 where no others are named by "
        "variables.",
    )
    parser.add_argument(
        "--data",
        type=Path,
        default=local_service.DATA,
        metavar="FOLDER",
        help="the folder of data, logs, ports and keys; default: %(default)s",
    )
    parser.add_argument(
        "--port",
        metavar="N",
        help="the API's port; default: last time's, else 8000, else a free one",
    )
    parser.set_defaults(run=_start)


def _print_code(_: argparse.Namespace) -> int:
    print(server_code.TREE)
    return 0


def _start(options: argparse.Namespace) -> int:
    words = ["up"]
    for name in ("data", "port"):
        if (value := getattr(options, name)) is not None:
            words += [f"--{name}", str(value)]
    server_code.run("deploy.allinone", words, extra="embedded")
