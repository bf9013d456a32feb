"""
One process of the application: replays its users' requests, each to the back end that the router says.

A line with a number on standard input lets it go on up to that step of the replay; it answers with the same number.
It ends when its standard input does.
"""

import argparse
import json
import sys
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from http.client import HTTPConnection
from pathlib import Path

import structlog

import cutover
from cutover.router.router import Router
from demo.clickstream import EVENTS_OF, Step, read_steps, share_of

__all__ = ["main"]


class ShopFailed(Exception):
    """
    A back end answered that it could not do what it was asked for.
    """


class ShopClient:
    """
    One connection to one back end, kept alive.
    """

    def __init__(self, port: int) -> None:
        self._connection = HTTPConnection("127.0.0.1", port, timeout=30)

    def send(self, step: Step) -> None:
        """
        Ask for what the user did.

        Raises:
            ShopFailed: If the answer is an error.
        """
        body = json.dumps({"event": step.event, "session": step.session, "user": step.user})
        self._connection.request("POST", f"/{step.flow}", body, {"Content-Type": "application/json"})
        response = self._connection.getresponse()
        text = response.read().decode()
        if response.status != HTTPStatus.OK:
            raise ShopFailed(text)


class Application:
    """
    What a shop's application does for each request.
    """

    def __init__(self, router: Router, shops: Mapping[cutover.Backend, ShopClient]) -> None:
        self._flows = {name: router.flow(name) for name in EVENTS_OF}
        self._shops = shops
        self._homes: dict[str, cutover.Backend] = {}  # of each session that has a cart; a real shop keeps it there

    def serve(self, step: Step) -> None:
        """
        Send one request to a back end. That it fails there is counted by the router, and the user goes on.
        """
        flow = self._flows[step.flow]
        home = self._homes.get(step.session) if step.flow != "browse" else None
        try:
            # The dial may pass a user who has a cart already: the cart, and so the order, stays where it is.
            with flow.request(step.user, home=home) if home else flow.request(step.user) as request:
                if step.flow != "browse":
                    self._homes[step.session] = request.backend
                self._shops[request.backend].send(step)
        except ShopFailed:
            pass


def replay(application: Application, steps: Iterable[Step]) -> None:
    """
    Serve steps as far as standard input lets it.
    """
    rest = iter(steps)
    step = next(rest, None)
    for line in sys.stdin:
        limit = int(line)
        while step is not None and step.number < limit:
            application.serve(step)
            step = next(rest, None)
        print(limit, flush=True)


def main() -> None:
    """
    Connect a router, say that it is ready, and replay.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--old", type=int, required=True, metavar="PORT")
    parser.add_argument("--new", type=int, required=True, metavar="PORT")
    parser.add_argument("--share", type=int, nargs=2, required=True, metavar=("WORKER", "WORKERS"))
    parser.add_argument("--events", type=int)
    options = parser.parse_args()
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    worker, workers = options.share
    steps = share_of(read_steps(options.events), worker, workers)
    shops = {
        cutover.Backend.OLD: ShopClient(options.old),
        cutover.Backend.NEW: ShopClient(options.new),
    }
    # The fleet-wide series are the same whoever shows them: one process is enough.
    with cutover.connect(cache=options.cache, fleet_metrics=worker == 0) as router:
        if not router.wait_ready(30):
            sys.exit("the store cannot be read")
        print("ready", flush=True)
        replay(Application(router, shops), steps)


if __name__ == "__main__":
    main()
