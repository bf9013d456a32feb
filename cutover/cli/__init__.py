"""
The command line.
"""

import sys
from collections.abc import Sequence
from typing import NoReturn

__all__ = ["main"]

NEEDED = ("click", "rich")
USAGE = 2


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """
    Run the command line and exit with its code; what the `cutover` script calls.
    """
    try:
        from cutover.cli.app import run  # noqa: PLC0415 - what it imports may not be installed
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in NEEDED:
            raise
        message = f"cutover: {error.name} is missing; install it with: pip install 'cutover-controller[cli]'\n"
        sys.stderr.write(message)
        sys.exit(USAGE)
    sys.exit(run(sys.argv[1:] if arguments is None else list(arguments)))
