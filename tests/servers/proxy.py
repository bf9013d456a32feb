"""
A proxy in front of a server that can stop forwarding: connections stay open and nothing arrives any more.
"""

import socket
import threading
from contextlib import contextmanager, suppress

CHUNK = 65536
PATIENCE = 10.0  # seconds


class Proxy:
    """
    Forwards TCP connections to a port, until told to hold everything back, or only the answers.
    """

    def __init__(self, port):
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._requests, self._answers = threading.Event(), threading.Event()
        self._sockets = [self._listener]
        self.forward()
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    def forward(self):
        """
        Let everything through, also what was held back.
        """
        self._requests.set()
        self._answers.set()

    def hold(self):
        """
        Hold everything back.
        """
        self._requests.clear()
        self._answers.clear()

    def hold_answers(self):
        """
        Let requests through and hold the answers back.
        """
        self._answers.clear()

    def cut(self):
        """
        Break all connections that there are.
        """
        for sock in self._sockets[1:]:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def close(self):
        """
        Stop listening and break everything.
        """
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._accepting.join(PATIENCE)  # who comes now would be left open
        self.cut()
        self.forward()
        for sock in self._sockets:
            sock.close()

    def _accept(self):
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                self._sockets.append(near)
                try:
                    far = socket.create_connection(("127.0.0.1", self._target))
                except OSError:  # the server is down: so is who asked
                    near.close()
                    continue
                self._sockets.append(far)
                for source, sink, gate in ((near, far, self._requests), (far, near, self._answers)):
                    threading.Thread(target=pump, args=(source, sink, gate), daemon=True).start()


def pump(source, sink, gate):
    """
    Copy from one socket to the other while the gate is open.
    """
    with suppress(OSError):
        while data := source.recv(CHUNK):
            gate.wait()
            sink.sendall(data)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_RDWR)


@contextmanager
def proxied(port):
    """
    Run a proxy for a block.
    """
    proxy = Proxy(port)
    try:
        yield proxy
    finally:
        proxy.close()
