"""
How the application asks a back end.
"""

import json
from http import HTTPStatus
from http.client import HTTPConnection, RemoteDisconnected

import attrs

from demo.shop_database import Asked
from demo.traffic import Step

__all__ = ["ShopClient", "ShopFailed"]


class ShopFailed(Exception):
    """
    A back end answered that it could not do what it was asked for, or gave no answer.
    """


class ShopClient:
    """
    One connection to one back end, kept alive.
    """

    def __init__(self, port: int) -> None:
        self._connection = HTTPConnection("127.0.0.1", port, timeout=30)

    def send(self, step: Step) -> None:
        """
        Ask for one step.

        Raises:
            ShopFailed: If the answer is an error, or got lost.
        """
        asked = Asked(step.event, step.session, step.user, step.payment, step.lost)
        body = json.dumps(attrs.asdict(asked))
        self._connection.request("POST", f"/{step.flow}", body, {"Content-Type": "application/json"})
        try:
            response = self._connection.getresponse()
        except RemoteDisconnected:
            raise ShopFailed("no answer") from None
        text = response.read().decode()
        if response.status != HTTPStatus.OK:
            raise ShopFailed(text)
