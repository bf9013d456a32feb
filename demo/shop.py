"""
One shop back end: an HTTP server in a process of its own. It ends when its standard input does.
"""

import argparse
import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

from demo.shop_database import Asked, Database
from demo.traffic import FLOW_OF

__all__ = ["main"]


class Handler(BaseHTTPRequestHandler):
    """
    Answers ``POST /FLOW`` with a JSON body as in `Asked`.
    """

    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body leave in one packet
    disable_nagle_algorithm = True
    database: ClassVar[Database]

    def do_POST(self) -> None:
        """
        Serve one request of the application.
        """
        asked = Asked(**json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        if self.path != f"/{FLOW_OF.get(asked.event)}":
            self._answer(404, "no such request")
        elif self.database.serve(asked):
            self._answer(200, "done", lost=asked.lost)
        else:
            self._answer(502, "the incident")

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name that the base class gives it
        """
        Keep quiet: the counts in the database are the log.
        """

    def _answer(self, status: int, text: str, *, lost: bool = False) -> None:
        if lost:
            self.close_connection = True
            return
        body = json.dumps({"text": text}).encode()
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
    Handler.database = Database(parser.parse_args().database)
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        print(server.server_address[1], flush=True)
        sys.stdin.read()
        server.shutdown()
    Handler.database.close()


if __name__ == "__main__":
    main()
