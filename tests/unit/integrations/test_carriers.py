"""
Carriers hand a text to the client and find it again in what the client brings; a wrong one is refused when it is made.
"""

from datetime import timedelta
from http.cookies import SimpleCookie

import pytest
from strategies import short

from cutover.errors import ConfigurationError
from cutover.integrations.carriers import Cookie, Header, Session

REQUEST = {"session": {}}
CARRIERS = [
    Cookie(),
    Cookie(name="__Host-visit"),
    Cookie(domain="shop.example", path="/shop", samesite="Strict", httponly=False),
    Cookie(secure=False, max_age=timedelta(hours=1)),
    Header(),
    Header(name="X-Visit"),
    Session(find=lambda request: request["session"]),
]
WRONG = [
    ({"name": "a b"}, "name is 'a b'"),
    ({"name": "a=b"}, "name is 'a=b'"),
    ({"name": "a;b"}, "name is 'a;b'"),
    ({"name": "visit\n"}, "name is"),
    ({"samesite": "lax"}, "samesite is 'lax'; allowed: Lax, Strict, None"),
    ({"samesite": "None", "secure": False}, "samesite is 'None' without secure"),
    ({"path": "shop"}, "path is 'shop'"),
    ({"path": "/; Domain=evil.example"}, "path is"),
    ({"path": "/\r\nX: y"}, "path is"),
    ({"path": "/a b"}, "path is '/a b'"),
    ({"path": '/a"b'}, "path is"),
    ({"path": "/a\\b"}, "path is"),
    ({"path": None}, "path is None"),
    ({"name": 5}, "name is 5"),
    ({"domain": 5}, "domain is 5"),
    ({"max_age": 60}, "max_age is 60; allowed: a timedelta of"),
    ({"secure": "no"}, "secure is 'no'; allowed: True, False"),
    ({"httponly": None}, "httponly is None; allowed: True, False"),
    ({"domain": ""}, "domain is ''"),
    ({"domain": "a;b"}, "domain is 'a;b'"),
    ({"max_age": timedelta(0)}, "max_age is 0:00:00"),
    ({"max_age": timedelta(days=401)}, "max_age is 401 days"),
    ({"name": "__Host-a", "secure": False}, "without secure"),
    ({"name": "__Secure-a", "secure": False}, "without secure"),
    ({"name": "__Host-a", "path": "/shop"}, "with a path or domain"),
    ({"name": "__Host-a", "domain": "shop.example"}, "with a path or domain"),
]


def client(pairs):
    """
    Give the request headers of a client that got response headers.
    """
    headers = {}
    for name, value in pairs:
        if name == "Set-Cookie":
            kept = [
                f"{cookie.key}={cookie.value}" for cookie in SimpleCookie(value).values() if cookie["max-age"] != "0"
            ]
            headers["cookie"] = kept
        else:
            headers[name.lower()] = [value]
    return lambda name: headers.get(name, [])


@pytest.mark.parametrize("carrier", CARRIERS, ids=short)
@pytest.mark.parametrize("kind", ["visit", "guest"])
def test_round_trip(carrier, kind):
    """
    What a carrier writes it reads from the next request, and what it takes away is gone, also for guests' ids.
    """
    carrier = carrier.named_for("purchase")
    carrier = carrier if kind == "visit" else carrier.for_guests().named_for("guest")

    assert carrier.read(client(carrier.write("a.b-c_d", 60, REQUEST)), REQUEST) == ["a.b-c_d"]
    assert not any(carrier.read(client(carrier.write("", 60, REQUEST)), REQUEST))


@pytest.mark.parametrize("carrier", CARRIERS, ids=short)
def test_guests_have_their_own_name(carrier):
    """
    The id of a guest never stands where the token stands.
    """
    named = carrier.named_for("purchase")

    assert named.for_guests().named_for("guest").name != named.name


def test_cookie():
    """
    Left alone, a cookie is kept from scripts, other sites and plain http, and lives as long as the token.
    """
    assert Cookie().named_for("purchase").write("token", 90, None) == [
        ("Set-Cookie", "cutover-purchase=token; Max-Age=90; Path=/; Secure; HttpOnly; SameSite=Lax")
    ]


def test_max_age():
    """
    Where it is said for how long a browser keeps the cookie, that counts.
    """
    assert "; Max-Age=3600;" in Cookie(name="visit", max_age=timedelta(hours=1)).write("token", 90, None)[0][1]


def test_cookie_is_taken_away_where_it_was_set():
    """
    A browser forgets a cookie only if path and domain are those with which it was set, and a prefix wants Secure.
    """
    cookie = Cookie(name="visit", path="/shop", domain="shop.example", max_age=timedelta(hours=1))

    assert cookie.write("", 90, None) == [
        ("Set-Cookie", "visit=; Max-Age=0; Path=/shop; Domain=shop.example; Secure; HttpOnly; SameSite=Lax")
    ]


def test_guest_cookie():
    """
    The cookie of a guest's id has the prefix and the flags of the token's cookie, outlasts it, and is for all paths.
    """
    host, path = Cookie(name="__Host-visit", samesite="Strict"), Cookie(path="/shop", secure=False)
    age = timedelta(days=180)

    assert host.for_guests() == Cookie(name="__Host-cutover-guest", samesite="Strict", max_age=age)
    assert path.for_guests() == Cookie(name="cutover-guest", secure=False, max_age=age)


@pytest.mark.parametrize(
    ("samesite", "method", "fetched", "withheld"),
    [
        ("Lax", "GET", {}, False),
        ("Lax", "POST", {}, False),
        ("Lax", "POST", {"site": "same-origin", "dest": "document"}, False),
        ("Lax", "POST", {"site": "same-site", "dest": "document"}, False),
        ("Lax", "GET", {"site": "none", "dest": "document"}, False),
        ("Lax", "GET", {"site": "cross-site", "dest": "document"}, False),
        ("Lax", "HEAD", {"site": "cross-site", "dest": "document"}, False),
        ("Lax", "POST", {"site": "cross-site", "dest": "document"}, True),
        ("Lax", "GET", {"site": "cross-site", "dest": "iframe"}, True),
        ("Lax", "GET", {"site": "cross-site", "dest": "empty"}, True),
        ("Lax", "GET", {"site": "cross-site"}, True),
        ("Strict", "GET", {"site": "cross-site", "dest": "document"}, True),
        ("Strict", "POST", {"site": "same-origin", "dest": "document"}, False),
        ("None", "POST", {"site": "cross-site", "dest": "iframe"}, False),
    ],
)
def test_withheld(samesite, method, fetched, withheld):
    """
    A cookie may be withheld exactly where another site has made the request, as its `samesite` says.
    """
    headers = {f"sec-fetch-{name}": [value] for name, value in fetched.items()} | {":method": [method]}

    assert Cookie(samesite=samesite).is_withheld(lambda name: headers.get(name, [])) is withheld


def test_nothing_else_is_withheld():
    """
    Clients that use headers send them always, and a session is found or not.
    """
    assert not Header().is_withheld(lambda name: ["cross-site"])
    assert not Session(find=dict).is_withheld(lambda name: ["cross-site"])


@pytest.mark.parametrize(("arguments", "message"), WRONG)
def test_wrong_cookie(arguments, message):
    """
    A cookie that no browser would keep, or that would smuggle in attributes, is refused when it is made.
    """
    with pytest.raises(ConfigurationError) as caught:
        Cookie(**arguments)

    assert message in str(caught.value)
    assert "; allowed: " in str(caught.value)


def test_wrong_header():
    """
    A header's name is a token.
    """
    with pytest.raises(ConfigurationError, match="name is 'Cutover Visit'"):
        Header(name="Cutover Visit")
    with pytest.raises(ConfigurationError, match="name is None"):
        Header(name=None)


def test_wrong_session():
    """
    A session is found by a function, and the token in it by a text.
    """
    with pytest.raises(ConfigurationError, match="find is 'session'; allowed: a function of the request"):
        Session(find="session")
    with pytest.raises(ConfigurationError, match="name is 5; allowed: text"):
        Session(find=dict, name=5)


@pytest.mark.parametrize("held", [None, 7, b"token", ["token"]])
def test_session_of_strangers(held):
    """
    A session that holds something else under that name holds no token.
    """
    assert Session(find=lambda request: {"cutover-purchase": held}, name="cutover-purchase").read(None, None) == []


def test_session_that_is_found_later():
    """
    Nothing can await a session: a function that gives a coroutine is an error, and an `async def` is refused at once.
    """

    async def later(_request):
        return {}

    def hidden(request):
        return later(request)

    with pytest.raises(ConfigurationError, match=r"^find is an async def"):
        Session(find=later)
    carrier = Session(find=hidden).named_for("purchase")
    for use in (lambda: carrier.read(None, None), lambda: carrier.write("token", 60, None)):
        with pytest.raises(ConfigurationError, match=r"^find gave a coroutine, which has not run yet"):
            use()
