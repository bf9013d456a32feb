"""
One process of the application, with its share of the users in front of it.

A line with a number on standard input lets it go on up to that step of the replay; it answers with the same number.
It ends when its standard input does.
"""

import argparse
import logging
import sys
from collections.abc import Iterable
from pathlib import Path

import cutover
from demo.application import Application
from demo.shop_client import ShopClient
from demo.stage import MIGRATION
from demo.traffic import Step, read_steps, share_of
from demo.trail import Trail

__all__ = ["main"]


class Clients:
    """
    The users' browsers: each session keeps the token that it was given, as it would keep a cookie.

    Retries and web hooks come to another process than the user's, and so without a token.
    """

    def __init__(self, application: Application) -> None:
        self._application = application
        self._tokens: dict[str, str] = {}

    def send(self, step: Step) -> None:
        """
        Send one request, with the token.
        """
        given = self._application.serve(step, self._tokens.get(step.session))
        if given is not None:
            self._tokens[step.session] = given


def replay(clients: Clients, steps: Iterable[Step]) -> None:
    """
    Let steps happen as far as standard input lets them.
    """
    rest = iter(steps)
    step = next(rest, None)
    for line in sys.stdin:
        limit = int(line)
        while step is not None and step.number < limit:
            clients.send(step)
            step = next(rest, None)
        print(limit, flush=True)


def main() -> None:
    """
    Connect a router, say that it is ready, and replay.
    """
    options = _options()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    worker, workers = options.share
    steps = share_of(read_steps(options.events), worker, workers)
    shops = {
        cutover.Backend.OLD: ShopClient(options.old),
        cutover.Backend.NEW: ShopClient(options.new),
    }
    # The fleet-wide series are the same whoever shows them: one process is enough.
    with (
        Trail(options.trail, worker) as trail,
        cutover.homes(migration=MIGRATION) as homes,
        cutover.connect(cache=options.cache, fleet_metrics=worker == 0) as router,
    ):
        router.wait_ready(30)  # and go on: without a snapshot every flow goes to OLD
        print("ready", flush=True)
        replay(Clients(Application(router, homes, shops, trail)), steps)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--trail", type=Path, required=True)
    parser.add_argument("--old", type=int, required=True, metavar="PORT")
    parser.add_argument("--new", type=int, required=True, metavar="PORT")
    parser.add_argument("--share", type=int, nargs=2, required=True, metavar=("WORKER", "WORKERS"))
    parser.add_argument("--events", type=int)
    return parser.parse_args()


if __name__ == "__main__":
    main()
