"""
What is particular to Starlette and FastAPI under uvicorn: websockets, and tasks that go on behind a response.
"""

import json

import pytest
from servers.running import until
from servers.visit_shops import shop_on
from websockets.sync.client import connect

VISIT = "cutover-purchase"
GUEST = "cutover-guest"


@pytest.fixture(scope="module", params=["starlette_shop:app", "fastapi_shop:app"])
def shop(request, tmp_path_factory):
    """
    A shop that talks.
    """
    with shop_on("uvicorn", request.param, tmp_path_factory.mktemp("shop")) as shop:
        yield shop


def talk(shop, cookies=()):
    """
    Open a websocket, with a client's cookies.
    """
    header = "; ".join(f"{name}={value}" for name, value in dict(cookies).items())
    return connect(f"ws://127.0.0.1:{shop.port}/talk", additional_headers={"Cookie": header} if header else None)


def said(websocket, text):
    """
    Say something, and give the answer.
    """
    websocket.send(text)
    return json.loads(websocket.recv(timeout=30))


def set_by(websocket):
    """
    Give the cookies that the handshake has set.
    """
    lines = websocket.response.headers.get_all("set-cookie")
    return dict(line.partition(";")[0].split("=", 1) for line in lines)


def test_handshake(shop):
    """
    A client that opens a websocket first gets its token with the handshake, and is on that visit on pages too.
    """
    with talk(shop) as websocket:
        cookies = set_by(websocket)
        answer = said(websocket, "hello")
    client = shop.client()
    client.cookies.update(cookies)

    assert set(cookies) == {VISIT, GUEST}
    assert answer["text"] == "hello"
    assert answer["key"] == cookies[GUEST]
    assert client.get("/cart").json() == {"backend": answer["backend"], "key": answer["key"]}
    assert "set-cookie" not in client.get("/cart").headers


def test_visit_of_a_page(shop):
    """
    A websocket of a client that is on a visit is on the same, and keeps its side while the dial is lowered.
    """
    shop.set(100)
    client = shop.client()
    client.get("/login/ann")
    with talk(shop, client.cookies) as websocket:
        before = said(websocket, "one")
        shop.set(0)
        after = said(websocket, "two")

        assert VISIT not in set_by(websocket)

    assert before == {"text": "one", "backend": "new", "key": "ann"}
    assert after == {"text": "two", "backend": "new", "key": "ann"}


def test_end(shop):
    """
    Both sides close as they would without middleware.
    """
    with talk(shop) as websocket:
        websocket.send("bye")

        assert list(websocket) == []
        assert websocket.close_code == 1000


def test_background_task(tmp_path):
    """
    A task that goes on behind the response of Starlette still has the visit of the request.
    """
    with shop_on("uvicorn", "starlette_shop:app", tmp_path) as shop, shop.client() as client:
        begun = client.get("/background")

        def done():
            return client.get("/background_done").json()

        assert begun.text == "begun"
        assert until(done) == [{"backend": "old", "key": client.cookies[GUEST]}]
