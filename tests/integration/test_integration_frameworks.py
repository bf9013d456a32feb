"""
Visits in Starlette, FastAPI, Flask and Django, each as it really runs, under uvicorn or gunicorn.
"""

from contextlib import contextmanager

import pytest
from servers.visit_shops import shop_on

VISIT = "cutover-purchase"
GUEST = "cutover-guest"
SHOPS = {
    "starlette": ("uvicorn", "starlette_shop:app", {}),
    "fastapi": ("uvicorn", "fastapi_shop:app", {}),
    "flask": ("gunicorn", "flask_shop:app", {}),
    "flask behind WSGI middleware": ("gunicorn", "flask_shop:app_behind_middleware", {}),
    "django on WSGI": ("gunicorn", "django_shop:app", {}),
    "django on ASGI": ("uvicorn", "django_shop:app", {"PROTOCOL": "asgi"}),
}
SESSION_SHOPS = {
    "starlette": ("uvicorn", "starlette_shop:app_with_sessions", {}),
    "flask": ("gunicorn", "flask_shop:app_with_sessions", {}),
    "django": ("gunicorn", "django_shop:app", {"VISITS": "visits_in_session"}),
}


@contextmanager
def served(name, folder, shops=None, **environment):
    """
    Serve a shop for a block.
    """
    server, app, more = (shops or SHOPS)[name]
    with shop_on(server, app, folder, **more, **environment) as shop:
        yield shop


@pytest.fixture(scope="module", params=SHOPS)
def shop(request, tmp_path_factory):
    """
    A shop with middleware.
    """
    with served(request.param, tmp_path_factory.mktemp("shop")) as shop:
        yield shop


@pytest.fixture(scope="module", params=SESSION_SHOPS)
def session_shop(request, tmp_path_factory):
    """
    A shop that keeps tokens in its sessions.
    """
    with served(request.param, tmp_path_factory.mktemp("shop"), SESSION_SHOPS) as shop:
        yield shop


def on(side, shop, user=None):
    """
    Give a client that entered on a side, as a guest or as a user.
    """
    shop.set({"old": 0, "new": 100}[side])
    client = shop.client()
    answer = client.get(f"/login/{user}" if user else "/cart")
    assert answer.json()["backend"] == side
    return client


def test_guest(shop):
    """
    A guest gets a token and an id once, and is known by them on every page, in sync and async handlers.
    """
    client = shop.client()
    first, second, third = (client.get(path) for path in ("/cart", "/cart", "/inner/cart"))

    assert {VISIT, GUEST} <= set(first.cookies)
    assert first.headers["cache-control"] == "private"
    assert first.json() == second.json() == third.json()
    assert first.json()["key"] == client.cookies[GUEST]
    assert "set-cookie" not in second.headers
    assert "set-cookie" not in third.headers
    assert "cache-control" not in second.headers


def test_dials(shop):
    """
    A visit keeps its side while the dial is lowered, others follow the dial, and a rollback moves all.
    """
    client = on("new", shop)
    shop.set(0)

    assert client.get("/cart").json()["backend"] == "new"
    assert shop.client().get("/cart").json()["backend"] == "old"

    shop.rollback()
    moved = client.get("/cart")

    assert moved.json()["backend"] == "old"
    assert VISIT in moved.cookies
    assert "set-cookie" not in client.get("/cart").headers


def test_login_and_logout(shop):
    """
    The visit goes on at login under the user's key, and at logout under the guest's, at once.
    """
    client = on("new", shop)
    guest = client.cookies[GUEST]
    shop.set(0)
    login = client.get("/login/ann")
    as_user = client.get("/cart")
    logout = client.get("/logout")
    as_guest = client.get("/cart")

    assert [answer.json() for answer in (login, as_user)] == [{"backend": "new", "key": "ann"}] * 2
    assert [answer.json() for answer in (logout, as_guest)] == [{"backend": "new", "key": guest}] * 2
    assert VISIT in login.cookies
    assert VISIT in logout.cookies
    assert VISIT not in as_user.cookies
    assert VISIT not in as_guest.cookies


def test_another_user(shop):
    """
    A user with the token of another enters anew.
    """
    victim = on("new", shop, "ann")
    shop.set(0)
    thief = shop.client()
    thief.get("/login/bob")
    thief.cookies.set(VISIT, victim.cookies[VISIT], domain="127.0.0.1", path="/")

    assert thief.get("/cart").json() == {"backend": "old", "key": "bob"}


def test_home(shop):
    """
    A page about a thing moves the visit to where the thing lives, and the next page is there.
    """
    client = on("new", shop)

    assert client.get("/home/tiktok").json()["backend"] == "old"
    assert client.get("/cart").json()["backend"] == "old"


def test_leave(shop):
    """
    A visit that is left is taken from the browser.
    """
    client = on("new", shop)
    client.get("/leave")

    assert VISIT not in client.cookies
    assert GUEST in client.cookies


def test_stream(shop):
    """
    A streamed response carries the token, and each of its pieces has the visit.
    """
    with shop.client() as client, client.stream("GET", "/stream") as answer:
        assert VISIT in answer.cookies
        assert "".join(answer.iter_text()) in {"oldoldold", "newnewnew"}
        assert "content-length" not in answer.headers


def test_failing_handler(shop):
    """
    A handler that fails is a failure of one request: the client's visit goes on.
    """
    client = on("new", shop)
    shop.set(0)

    assert client.get("/boom").status_code == 500
    assert client.get("/cart").json()["backend"] == "new"


@pytest.mark.parametrize("token", ["x", "a.b.c", '"', "x" * 4000])
def test_strange_token(shop, token):
    """
    A token that is none is replaced.
    """
    answer = shop.client().get("/cart", headers={"Cookie": f"{VISIT}={token}"})

    assert answer.status_code == 200
    assert VISIT in answer.cookies


@pytest.mark.parametrize("path", ["/front", "/unchanged", "/cached", "/page"])
def test_nothing_on_shared_pages(shop, path):
    """
    A page that caches may share, a 304 and a page that asks for no visit give no token; the next response does.
    """
    client = shop.client()
    answer = client.get(path)

    assert "set-cookie" not in answer.headers
    assert VISIT in client.get("/cart").cookies


def test_private_with_a_token(shop):
    """
    A page that caches may store, and must ask for each time, is kept from them while it carries a token.
    """
    client = shop.client()

    assert client.get("/checked").headers.get_list("cache-control", split_commas=True) == ["no-cache", "private"]
    assert client.get("/checked").headers["cache-control"] == "no-cache"


@pytest.mark.parametrize("name", SHOPS)
def test_bare(name, tmp_path):
    """
    A cacheable page, and one that asks for no visit, is the same with and without middleware, to the last byte.
    """
    paths = ("/cached", "/page", "/front", "/unchanged", "/nowhere")
    for folder in ("with", "without"):
        (tmp_path / folder).mkdir()
    with served(name, tmp_path / "with") as carrying, served(name, tmp_path / "without", BARE="1") as bare:
        for path in paths:
            assert carrying.raw(path) == bare.raw(path), path


def test_session(session_shop):
    """
    In the framework's session, the visit keeps its side through login and logout, and no cookie of ours is set.
    """
    client = on("new", session_shop)
    session_shop.set(0)
    keys = [client.get(path).json()["key"] for path in ("/cart", "/login/ann", "/cart", "/logout", "/cart")]
    sides = {client.get("/cart").json()["backend"] for _ in range(3)}

    assert keys[1:3] == ["ann", "ann"]
    assert keys[3] == keys[4]
    assert keys[0].startswith("guest-")
    assert keys[4].startswith("guest-")
    assert sides == {"new"}
    assert not {VISIT, GUEST} & set(client.cookies)


def test_session_is_left(session_shop):
    """
    A visit that is left is taken from the session: the next one follows the dial.
    """
    client = on("new", session_shop)
    session_shop.set(0)
    client.get("/leave")

    assert client.get("/cart").json()["backend"] == "old"
