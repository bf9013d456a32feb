"""
One shop back end: an HTTP server in a process of its own. It ends when its standard input does.
"""

import argparse
import json
import sys
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

from demo.prices import half_even, half_up, prices_shown
from demo.shop_database import Asked, Database, Result
from demo.traffic import FLOW_OF

__all__ = ["main"]


class Handler(BaseHTTPRequestHandler):
    """
    Answers ``POST /FLOW`` with a JSON body as in `Asked`, and ``POST /has`` with user and sequence of a cart's line.

    Attributes:
        wrong_before: The step of the replay that brings the release which rounds as it should.
    """

    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body leave in one packet
    disable_nagle_algorithm = True
    database: ClassVar[Database]
    wrong_before: ClassVar[int]

    def do_POST(self) -> None:
        """
        Serve one request of the application.
        """
        facts = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path == "/has":
            self._answer(200, {"has": self.database.has_line(**facts)})
        elif self.path == f"/{FLOW_OF.get(facts['event'])}":
            self._serve(Asked(**facts))
        else:
            self._answer(404, {"text": "no such request"})

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name that the base class gives it
        """
        Keep quiet: the counts in the database are the log.
        """

    def _serve(self, asked: Asked) -> None:
        rounding = half_even if asked.number < self.wrong_before else half_up
        prices = prices_shown(asked.number, rounding) if asked.flow == "browse" else {}
        match self.database.serve(asked, prices):
            case Result.DONE:
                self._answer(200, {"text": "done", "prices": prices})
            case Result.FAILED:
                self._answer(502, {"text": "the incident"})
            case Result.LOST:
                self.close_connection = True

    def _answer(self, status: int, answer: Mapping[str, object]) -> None:
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def main() -> None:
    """
    Serve until standard input ends; the first line on standard output is the port.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("--database", type=Path, required=True)
    parser.add_argument("--wrong-before", type=int, default=0, metavar="STEP")
    options = parser.parse_args()
    Handler.database, Handler.wrong_before = Database(options.database), options.wrong_before
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        print(server.server_address[1], flush=True)
        sys.stdin.read()
        server.shutdown()
    Handler.database.close()


if __name__ == "__main__":
    main()
