"""
A transaction pooler for PostgreSQL, as pgbouncer is one: clients share a server connection, one transaction at a time.
"""

import socket
import struct
import threading
from contextlib import contextmanager, suppress

CHUNK = 65_536
SECURE = (80877103, 80877104)  # what clients begin with to ask for TLS or GSS
OWN_PID = 1


class Pooler:
    """
    Serves any number of clients over one connection to the server.

    Attributes:
        port: Where it listens.
        transactions: How many were passed on.
    """

    def __init__(self, target, user, database):
        self.transactions = 0
        self._server = socket.create_connection(("127.0.0.1", target))
        words = b"".join(word.encode() + b"\0" for word in ("user", user, "database", database))
        self._server.sendall(struct.pack("!ii", len(words) + 9, 196608) + words + b"\0")
        self._parameters = [m for m in self._answer() if m[:1] == b"S"]
        self._turn = threading.Lock()
        self._clients = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        """
        Close everything.
        """
        for each in (self._listener, self._server, *self._clients):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _accept(self):
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self._clients.append(client)
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client):
        with suppress(OSError, EOFError):
            while (startup := _exactly(client, *struct.unpack("!i", _exactly(client, 4)), -4)) and (
                struct.unpack("!i", startup[:4])[0] in SECURE
            ):
                client.sendall(b"N")
            ready = b"Z" + struct.pack("!i", 5) + b"I"
            key = b"K" + struct.pack("!iii", 12, OWN_PID, 0)
            client.sendall(b"R" + struct.pack("!ii", 8, 0) + b"".join(self._parameters) + key + ready)
            while True:
                first = client.recv(CHUNK)
                if not first or first[:1] == b"X":
                    return
                with self._turn:
                    self._transaction(client, first)

    def _transaction(self, client, data):
        """
        Pass on what the client sends until the server says that no transaction is open.
        """
        self._discard()
        self.transactions += 1
        state = b""
        while state != b"I":
            self._server.sendall(data + _rest(client, data))
            messages = self._answer()
            client.sendall(b"".join(messages))
            state = messages[-1][-1:]
            data = client.recv(CHUNK) if state != b"I" else b""

    def _discard(self):
        """
        Drop what the server said while no client had it: notifications among others.
        """
        self._server.setblocking(False)
        with suppress(BlockingIOError):
            while self._server.recv(CHUNK):
                pass
        self._server.setblocking(True)

    def _answer(self):
        messages = [self._message()]
        while messages[-1][:1] != b"Z":
            messages.append(self._message())
        return messages

    def _message(self):
        head = _exactly(self._server, 5)
        return head + _exactly(self._server, struct.unpack("!i", head[1:])[0], -4)


def _rest(client, data):
    """
    Receive what is missing of the last message, and of the batch up to its end.
    """
    rest = b""
    while not _is_whole(data + rest):
        more = client.recv(CHUNK)
        if not more:
            raise EOFError
        rest += more
    return rest


def _is_whole(data):
    position, last = 0, b""
    while position + 5 <= len(data):
        last = data[position : position + 1]
        position += 1 + struct.unpack("!i", data[position + 1 : position + 5])[0]
    return position == len(data) and last in (b"Q", b"S", b"X")


def _exactly(source, number, less=0):
    data = b""
    while len(data) < number + less:
        more = source.recv(number + less - len(data))
        if not more:
            raise EOFError
        data += more
    return data


@contextmanager
def pooler_to(port, user="postgres", database="postgres"):
    """
    Run a pooler for a block.
    """
    pooler = Pooler(port, user, database)
    try:
        yield pooler
    finally:
        pooler.close()
