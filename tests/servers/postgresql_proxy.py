"""
A proxy between a store and its server, which can stop forwarding and cut connections.
"""

import socket
import threading
from contextlib import contextmanager, suppress

CHUNK = 65_536


class Proxy:
    """
    Forwards connections to a port of this machine.

    Attributes:
        port: Where it listens.
        word: What, in a request, makes it swallow the answer; None for nothing.
        cutting: Whether it cuts the connection in place of swallowing the answer.
        reached: Set once the word was seen.
    """

    def __init__(self, target):
        self.word = None
        self.cutting = False
        self.reached = threading.Event()
        self._target = target
        self._stalled = set()
        self._sockets = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def stall(self):
        """
        Stop forwarding on every connection there is, without closing any: the half-open state that a lost peer leaves.
        """
        self._stalled.update(self._sockets)

    def close(self):
        """
        Close everything.
        """
        for each in (self._listener, *self._sockets):  # who only closed the listener would leave a thread in it
            _shut(each)

    def _accept(self):
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._target))
                self._sockets += [client, server]
                for source, target, is_request in ((client, server, True), (server, client, False)):
                    threading.Thread(target=self._forward, args=(source, target, is_request), daemon=True).start()

    def _forward(self, source, target, is_request):
        with suppress(OSError):
            while data := source.recv(CHUNK):
                if source in self._stalled or target in self._stalled:
                    continue
                if is_request and self.word is not None and self.word in data:
                    self._stalled.add(target)
                    self.reached.set()
                    if self.cutting:
                        break
                    target.sendall(data)
                else:
                    target.sendall(data)
        if source not in self._stalled or self.cutting:
            _shut(source)
            _shut(target)


def _shut(each):
    with suppress(OSError):
        each.shutdown(socket.SHUT_RDWR)
    each.close()


@contextmanager
def proxy_to(port):
    """
    Run a proxy for a block.
    """
    proxy = Proxy(port)
    try:
        yield proxy
    finally:
        proxy.close()
