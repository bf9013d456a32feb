"""
`python -m demo`.
"""

import argparse
import signal
import sys
from pathlib import Path
from typing import Final

from rich.console import Console

from demo.errors import DemoFailed
from demo.run import Options, play

__all__ = ["main"]

SECONDS: Final = 55.0
INTERRUPTED: Final = 130
TERMINATED: Final = 143


def main() -> int:
    """
    Run the demo, and give its exit code: 1 if a proof or a part fails.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED))
    console = Console(highlight=False, emoji=False, markup=False)
    try:
        return 0 if play(_options(), console) else 1
    except DemoFailed as error:
        console.print(f"the demo failed: {error}", style="red", soft_wrap=True)
        return 1
    except KeyboardInterrupt:
        console.print("interrupted; every process of the demo has ended")
        return INTERRUPTED


def _options() -> Options:
    parser = argparse.ArgumentParser(prog="python -m demo", description="Move a shop from one back end to another.")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="how long the replay takes (%(default)s)")
    parser.add_argument("--no-wait", action="store_true", help="replay as fast as it can")
    parser.add_argument("--events", type=int, help="replay about so many of the 30,000 events")
    parser.add_argument("--folder", type=Path, default=Path("demo-run"), help="recreated each time (%(default)s)")
    parser.add_argument("--svg", type=Path, metavar="FILE", help="leave a picture of the middle and the end there")
    given = parser.parse_args()
    seconds = None if given.no_wait else given.seconds
    return Options(folder=given.folder, seconds=seconds, events=given.events, svg=given.svg)


if __name__ == "__main__":
    sys.exit(main())
