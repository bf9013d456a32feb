"""
How the application asks a back end.
"""

import json
from http import HTTPStatus
from http.client import HTTPConnection, RemoteDisconnected
from queue import Empty, LifoQueue
from typing import Any

import attrs

from demo.shop_database import Asked

__all__ = ["NoAnswer", "ShopClient", "ShopFailed"]


class ShopFailed(Exception):
    """
    A back end answered that it could not do what it was asked for, or gave no answer.
    """


class NoAnswer(ShopFailed, ConnectionError):
    """
    A back end hung up: whether it has done what it was asked for, nobody knows.
    """


class ShopClient:
    """
    Connections to one back end, kept alive; as many as threads ask at once.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._idle: LifoQueue[HTTPConnection] = LifoQueue()

    def send(self, asked: Asked) -> dict[str, Any]:
        """
        Ask for one thing.

        Raises:
            NoAnswer: If the answer got lost.
            ShopFailed: If it is an error.
        """
        return self._post(asked.flow, attrs.asdict(asked))

    def has_line(self, user: str, sequence: int) -> bool:
        """
        Ask whether a cart was changed as asked for.

        Raises:
            NoAnswer, ShopFailed: As `send` does.
        """
        return bool(self._post("has", {"user": user, "sequence": sequence})["has"])

    def _post(self, path: str, facts: dict[str, Any]) -> dict[str, Any]:
        try:
            connection = self._idle.get_nowait()
        except Empty:
            connection = HTTPConnection("127.0.0.1", self._port, timeout=30)
        connection.request("POST", f"/{path}", json.dumps(facts), {"Content-Type": "application/json"})
        try:
            response = connection.getresponse()
        except RemoteDisconnected:
            self._idle.put(connection)  # it connects anew
            raise NoAnswer("no answer") from None
        text = response.read().decode()
        self._idle.put(connection)
        if response.status != HTTPStatus.OK:
            raise ShopFailed(text)
        answer: dict[str, Any] = json.loads(text)
        return answer
