"""
Shops on real frameworks under real servers, with the operators' side of their store.
"""

import os
import socket
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import attrs
import httpx
from visitors import SHOP

from cutover.operations.control import Control
from cutover.operations.control import control as open_control
from servers.ports import free_port
from servers.running import PATIENCE, answers, until

APPS = Path(__file__).parent.parent / "integration" / "visit_apps"
ASGI = ("uvicorn", "--no-date-header", "--no-server-header", "--host", "127.0.0.1", "--port")
WSGI = ("gunicorn", "--bind")
SECRET = "for these tests only: thirty-two bytes or more"


@attrs.frozen
class Shop:
    """
    A served shop, and the operators' side of its store.
    """

    control: Control
    port: int

    @property
    def url(self):
        """
        Where it is.
        """
        return f"http://127.0.0.1:{self.port}"

    def client(self):
        """
        Give a new browser, which keeps cookies.
        """
        # A connection for each request: uvicorn closes the one on which an application has failed.
        return httpx.Client(base_url=self.url, timeout=PATIENCE, limits=httpx.Limits(max_keepalive_connections=0))

    def set(self, percent):
        """
        Move the dial, and wait until the shop knows.
        """
        self._wait(self.control.set("purchase", percent, reason="test"))

    def rollback(self):
        """
        Roll back, and wait until the shop knows.
        """
        self._wait(self.control.rollback("purchase", reason="test"))

    def _wait(self, change):
        confirmation = self.control.wait(change, timeout=PATIENCE)
        assert len(confirmation.current) == 1, confirmation

    def raw(self, path):
        """
        Give every line of a response but the date.
        """
        with socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE) as connection:
            connection.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode())
            received = b"".join(iter(lambda: connection.recv(65536), b""))
        return [line for line in received.split(b"\r\n") if not line.lower().startswith(b"date:")]


def _command(server, app, port):
    if server == "uvicorn":
        return (*ASGI, str(port), app)
    return (*WSGI, f"127.0.0.1:{port}", app)


def store_at(folder):
    """
    Make a store for a shop; all dials are at 0.
    """
    url = f"sqlite:///{folder}/cutover.db"
    control = open_control(url, actor="test")
    control.apply(SHOP)
    return url, control


@contextmanager
def shop_on(server, app, folder, **environment):
    """
    Serve an application of `visit_apps` for a block.

    Args:
        server: "uvicorn" or "gunicorn".
        folder: Of its own; the store is made there if it is not.
    """
    url, control = store_at(folder)
    port = free_port()
    given = {
        **{name: value for name, value in os.environ.items() if not name.startswith("CUTOVER")},
        "HOME": str(folder),
        "CUTOVER_STORE": url,
        "CUTOVER_SECRET": SECRET,
        "CUTOVER_CACHE": str(folder / "cache"),
        "DATABASE": str(folder / "users.db"),
        **environment,
    }
    log = folder / "server.log"
    command = [sys.executable, "-W", "error", "-m", *_command(server, app, port)]
    with control, log.open("ab") as written:
        process = subprocess.Popen(command, cwd=APPS, env=given, stdout=written, stderr=written)
        shop = Shop(control, port)

        def ready_or_gone():
            assert process.poll() is None, log.read_text()
            return answers(f"{shop.url}/page") and control.instances()

        try:
            until(ready_or_gone)
            yield shop
        finally:
            process.terminate()
            process.wait()
