"""
A process that serves relays: one for each folder below a place, made at the first request to ``/FOLDER/...``.

Its documents mean nothing, as the store contract writes them, and so they are not checked.
"""

import asyncio
import socket
import sys
from pathlib import Path

import uvicorn

from cutover.engines.sqlite.store import SqliteStore
from cutover.server.app import create_app


class Relays:
    """
    Relays by name, all in this process.
    """

    def __init__(self, place):
        self.place = Path(place)
        self.apps = {}

    async def __call__(self, scope, receive, send):
        """
        Hand a request to the relay that its path names.
        """
        if scope["type"] != "http":
            return
        _, name, *rest = scope["path"].split("/")
        if name not in self.apps:
            (self.place / name).mkdir()
            app = self.apps[name] = create_app(store=SqliteStore(self.place / name / "cutover.db"), trusting=True)
            app.state.service.relay.start()
        await self.apps[name](scope | {"path": "/" + "/".join(rest), "raw_path": None}, receive, send)


def main(place):
    """
    Serve until killed, on a port that is printed.
    """
    listener = socket.create_server(("127.0.0.1", 0))
    sys.stdout.write(f"{listener.getsockname()[1]}\n")
    sys.stdout.flush()
    config = uvicorn.Config(Relays(place), lifespan="off", log_level="warning")
    asyncio.run(uvicorn.Server(config).serve(sockets=[listener]))


main(sys.argv[1])
