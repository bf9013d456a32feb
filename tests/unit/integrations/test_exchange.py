"""
What every middleware does with a visit, seen from a client: on WSGI and on ASGI alike.
"""

from threading import Thread

import pytest
from structlog.testing import capture_logs
from visitors import Answer, aged, user_on
from werkzeug.local import LocalProxy

from cutover.core.backend import Backend
from cutover.errors import ConfigurationError
from cutover.integrations import Cookie, Header, Session, visit_of
from cutover.integrations.guests import new_guest_id

VISIT = "cutover-purchase"
GUEST = "cutover-guest"


def repr_of_type(value):
    """
    Name a parameter by its type.
    """
    return type(value).__name__


def events(site):
    """
    Give what was counted of the visits.
    """
    name = "cutover_visits_total"
    return {
        sample.labels["event"]: sample.value
        for metric in site.router.registry.collect()
        for sample in metric.samples
        if sample.name == name and sample.value and sample.labels["journey"] == "purchase"
    }


def test_guest(site):
    """
    A guest is given a token and an id, keeps both, and is given nothing more with the next response.
    """
    client = site.client()
    first = client.get()
    second = client.get()

    assert set(first.cookies) == {VISIT, GUEST}
    assert first.of("cache-control") == ["private"]
    assert [(name.lower(), value) for name, value in second.headers] == [("content-type", "text/plain")]
    assert site.seen[0].key == site.seen[1].key == client.cookies[GUEST]
    assert first.body == second.body
    assert events(site) == {"entered": 1, "resumed": 1}


def test_user(site):
    """
    A user is given a token, and no id of a guest.
    """
    site.user = "user-42"
    client = site.client()

    assert set(client.get().cookies) == {VISIT}
    assert client.get().cookies == {}
    assert site.seen[1].key == "user-42"


def test_not_asked_for(site):
    """
    A page that asks for no visit is sent as it is, enters none and counts nothing.
    """
    site.handler = lambda place: Answer(200, [("X-Own", "1")], b"page")
    client = site.client(key=lambda place: pytest.fail("asked for a key"))

    assert [(name.lower(), value) for name, value in client.get().headers] == [("x-own", "1")]
    assert events(site) == {}


def test_max_age(site):
    """
    The cookie lives as long as the token is honoured: a minute more than it holds, since a step that was taken within
    the minute after it was written has left it as it was.
    """
    assert 1855 <= int(site.client().get().cookies[VISIT]["max-age"]) <= 1860


def test_visit_goes_on(site):
    """
    A visit keeps its side while the dial moves, and a new one follows the dial.
    """
    site.user = user_on("new", site.journey)
    client = site.client()
    client.get()
    site.router.set(cart=0, pay=0)

    assert client.get().body == b"new"
    assert site.client().get().body == b"old"


@pytest.mark.parametrize(("seconds", "given"), [(30, False), (90, True)])
def test_due(site, seconds, given):
    """
    A token is written anew once it is a minute old, lest an active visit looks idle.
    """
    client = site.client()
    client.get()
    client.cookies[VISIT] = aged(site.journey, client.cookies[VISIT], seconds)

    assert set(client.get().cookies) == ({VISIT, GUEST} if given else set())


def test_login(site):
    """
    A guest's visit goes on under the user's key after login; the guest's id stays with the browser.
    """
    client = site.client()
    for _ in range(1000):
        client.cookies.clear()
        if client.get().body == b"new":
            break
    site.user = user_on("old", site.journey)
    guest = client.cookies[GUEST]
    after = client.get()

    assert after.body == b"new"
    assert set(after.cookies) == {VISIT}
    assert client.cookies[GUEST] == guest
    assert client.get().cookies == {}
    assert events(site)["renamed"] == 1


def test_late_response_of_a_guest(site):
    """
    A response to the guest that comes after login, with a token of the guest's, costs the user nothing.
    """
    client = site.client()
    client.get()
    guests = client.cookies[VISIT]
    site.user = user_on("old" if site.seen[0].backend is Backend.NEW else "new", site.journey)
    client.get()
    client.cookies[VISIT] = guests
    client.get()

    assert len({visit.backend for visit in site.seen}) == 1


@pytest.mark.parametrize("before", ["guest", "user"])
def test_key_of_handler(site, before):
    """
    A handler that logs somebody in or out lets the visit go on under the new key, and the client gets the token.
    """
    client = site.client()
    client.get()
    site.user = user_on("old", site.journey) if before == "user" else None
    client.get()
    old = site.seen[-1]

    def handler(place):
        assert visit_of(place).key == old.key
        site.user = "user-7" if before == "guest" else None
        return Answer(200, [], visit_of(place, key=site.user).backend.value.encode())

    site.handler = handler
    changed = client.get()
    site.handler = site.ask_for_visit
    client.get()

    assert VISIT in changed.cookies
    assert changed.body.decode() == old.backend.value == site.seen[-1].backend.value
    assert site.seen[-1].key == (site.user or client.cookies[GUEST])
    assert "rejected" not in events(site)


def test_login_in_the_first_request(site):
    """
    A visit that is entered as a guest and goes on as a user in one request stays where it was entered.
    """
    user = user_on("old", site.journey)
    seen = set()

    def handler(place):
        seen.add((visit_of(place).backend, visit_of(place, key=user).backend))
        return Answer(200, [], b"")

    site.handler = handler
    for _ in range(20):
        site.client().get()

    assert seen == {(side, side) for side in Backend}


def test_logout_without_a_word(site):
    """
    After a logout of which the middleware was not told, the token of the user is nobody's: the guest enters anew.
    """
    site.user = "user-42"
    client = site.client()
    client.get()
    site.user = None
    client.get()

    assert events(site) == {"entered": 2, "rejected": 1}
    assert site.seen[-1].key == client.cookies[GUEST]


def test_was(site):
    """
    An application that knows under which key the client was before says so by a function.
    """
    client = site.client(was=lambda place: "user-42" if site.user == "user-43" else None)
    site.user = "user-42"
    client.get()
    site.user = "user-43"
    client.get()

    assert site.seen[0].backend is site.seen[1].backend
    assert events(site) == {"entered": 1, "resumed": 1, "renamed": 1}


def test_key_of_handler_instead(site):
    """
    Without a function for the key, the handler names the user; the function is not asked where it does.
    """
    site.handler = lambda place: Answer(200, [], visit_of(place, key="user-42").key.encode())

    assert site.client(key=None).get().body == b"user-42"
    assert site.client(key=lambda place: pytest.fail("asked for a key")).get().body == b"user-42"


def test_failing_key(site):
    """
    What the function for the key raises reaches the handler, and the client keeps its visit.
    """
    client = site.client(key=lambda place: 1 // site.user)
    site.user = 1
    client.get()

    def handler(place):
        with pytest.raises(ZeroDivisionError):
            visit_of(place)
        return Answer(503, [], b"later")

    site.user, site.handler = 0, handler
    failed = client.get()
    site.user, site.handler = 1, site.ask_for_visit
    client.get()

    assert failed.headers == []
    assert events(site) == {"entered": 1, "resumed": 1}


def test_no_guests(site):
    """
    Without a carrier for guests' ids there is no key where there is no user: OLD, and no cookie with an id.
    """
    site.router.set(cart=99, pay=99)
    client = site.client(guest=None)

    assert client.get().body == b"old"
    assert set(client.cookies) == {VISIT}


def test_cohort(site):
    """
    The cohort comes from a function.
    """
    site.client(cohort=lambda place: "staff").get()

    assert site.seen[0].cohort == "staff"


def test_load_test(site):
    """
    A function tells that a load test sent a request; what its visit decides is counted apart, also once it has a home.
    """

    def handler(place):
        site.seen += [visit_of(place), visit_of(place, home="old")]
        return Answer(200, [], b"")

    site.handler = handler
    site.client(synthetic=lambda place: True).get()
    site.client(synthetic=lambda place: False).get()

    assert [visit.synthetic for visit in site.seen] == [True, True, False, False]
    assert events(site) == {"entered": 1, "resumed": 1}


def test_home(site):
    """
    A handler opens the visit where its thing lives, also after it was entered, and the next request is there too.
    """
    site.user = user_on("new", site.journey)
    client = site.client()
    client.get()

    def handler(place):
        before = visit_of(place).backend
        return Answer(200, [], f"{before} {visit_of(place, home='tiktok').backend}".encode())

    site.handler = handler
    moved = client.get()
    site.handler = site.ask_for_visit

    assert moved.body == b"new old"
    assert VISIT in moved.cookies
    assert client.get().body == b"old"


def test_home_where_it_is(site):
    """
    A visit that is entered and then found to be where its thing lives is given to the client all the same.
    """

    def handler(place):
        return Answer(200, [], visit_of(place, home=visit_of(place).backend).backend.value.encode())

    site.handler = handler

    assert VISIT in site.client().get().cookies


@pytest.mark.parametrize(
    "nobody", [None, "", False, float("nan"), object(), LocalProxy(lambda: None)], ids=repr_of_type
)
def test_nobody(site, nobody):
    """
    A key that names nobody is no user's: the client is a guest, and has one key in all of its requests.
    """
    site.user = nobody
    client = site.client(was=lambda place: nobody)
    answers = {client.get().body for _ in range(2)}

    assert site.seen[0].key.startswith("guest-")
    assert site.seen[0].key == site.seen[1].key
    assert len(answers) == 1
    assert events(site) == {"entered": 1, "resumed": 1}


def test_the_same_visit(site):
    """
    All who ask in one request get the same visit.
    """

    def handler(place):
        visit = visit_of(place)
        assert visit_of(place) is visit_of(place, "purchase") is visit_of(place, key=visit.key) is visit
        return Answer(200, [], b"")

    site.handler = handler
    site.client().get()

    assert events(site) == {"entered": 1}


def test_leave(site):
    """
    A visit that is left is taken from the client, once; a client that has none is told nothing.
    """

    def handler(place):
        visit_of(place).leave()
        return Answer(200, [], b"")

    client = site.client()
    client.get()
    site.handler = handler
    left = client.get()

    assert left.cookies[VISIT]["max-age"] == "0"
    assert set(left.cookies) == {VISIT}
    assert set(client.cookies) == {GUEST}
    assert client.get().cookies == {}


@pytest.mark.parametrize("status", [200, 301, 404, 500])
def test_status(site, status):
    """
    The token goes with any status; it is the request that is on a visit.
    """
    site.handler = lambda place: Answer(status, [("X-Visit", visit_of(place).backend.value)], b"")

    assert VISIT in site.client().get().cookies


@pytest.mark.parametrize(
    ("status", "control"), [(200, "public"), (200, "s-maxage=60"), (200, "max-age=60"), (304, "private")]
)
@pytest.mark.parametrize("leaves", [False, True])
def test_shared_page(site, status, control, leaves):
    """
    A response that caches may share is sent as it is, also where its handler has asked for a visit or has left it.

    The next response makes up for it.
    """
    headers = [("Cache-Control", control), ("ETag", '"1"')]

    def handler(place):
        visit = visit_of(place)
        if leaves:
            visit.leave()
        return Answer(status, headers, b"")

    client = site.client()
    site.handler = handler
    shared = client.get()
    site.handler = site.ask_for_visit

    assert [value for _, value in shared.headers] == [control, '"1"']
    assert VISIT in client.get().cookies


@pytest.mark.parametrize("control", ["private", "no-store", "private, max-age=60"])
def test_own_cache_control(site, control):
    """
    What the application says about caching is not touched where it keeps caches between off.
    """
    site.handler = lambda place: Answer(200, [("Cache-Control", control), ("X-Key", visit_of(place).key)], b"")
    answer = site.client().get()

    assert answer.of("cache-control") == [control]
    assert VISIT in answer.cookies


@pytest.mark.parametrize("control", ["no-cache", "max-age=0, must-revalidate", "no-transform"])
def test_storable_page(site, control):
    """
    A page that caches between may store, and give to others after a 304, is private while it carries a token.
    """
    site.handler = lambda place: Answer(200, [("Cache-Control", control), ("X-Key", visit_of(place).key)], b"")
    client = site.client()

    assert client.get().of("cache-control") == [control, "private"]
    assert client.get().of("cache-control") == [control]


def test_pages_that_give_no_token(site):
    """
    That a page asks for a visit and gives no token to a client without one is logged, once; whatever else is usual.
    """
    headers = [("Cache-Control", "public")]

    def asking(status):
        return lambda place: visit_of(place) and Answer(status, headers, b"")

    client = site.client()
    with capture_logs() as logs:
        for handler in (lambda place: Answer(200, headers, b""), asking(304)):
            site.handler = handler
            client.get()
        site.handler = site.ask_for_visit
        client.get()
        client.cookies[VISIT] = aged(site.journey, client.cookies[VISIT], 90)
        site.handler = asking(200)
        client.get()
        usual = list(logs)
        client.cookies = {}
        client.get()
        client.get()

    assert usual == []
    assert logs == [{"event": "cutover.visit_not_given", "journey": "purchase", "log_level": "warning"}]


@pytest.mark.parametrize("name", ["key", "cohort", "was", "synthetic"])
def test_coroutines(site, name):
    """
    A function that gives a coroutine is an error in the handler: as a key it would be another one in each request.
    """

    async def ask(place):
        return place

    def begin(place):
        return ask(place)

    with pytest.raises(ConfigurationError, match=rf"^{name} of the middleware gave a coroutine; allowed: "):
        site.client(**{name: begin}).get()


@pytest.mark.parametrize("name", ["cohort", "synthetic"])
def test_a_method_that_was_not_called(site, name):
    """
    A function that gives a method without its parentheses is an error in the handler: the method would count as true.
    """
    with pytest.raises(ConfigurationError, match=rf"^{name} of the middleware gave a method, which was not called; "):
        site.client(**{name: lambda place: site.client}).get()


OF_ANOTHER_SITE = {"sec_fetch_site": "cross-site", "sec_fetch_dest": "document", "sec_fetch_mode": "navigate"}


def test_post_of_another_site(site):
    """
    Where another site posts the customer back, browsers withhold cookies: one that is set would replace the real one.
    """
    site.user = user_on("new", site.journey)
    client = site.client()
    client.get()
    kept, client.cookies, user = client.cookies, {}, site.user
    site.user = None
    back = client.get("POST", **OF_ANOTHER_SITE)
    client.cookies, site.user = kept, user
    site.router.set(cart=0, pay=0)

    assert back.headers == [(name, "text/plain") for name, _ in back.headers]
    assert client.get().body == b"new"


def test_link_of_another_site(site):
    """
    Whoever comes by a link of another site is given a token, and one who brings a token is on that visit.
    """
    client = site.client()
    first = client.get(**OF_ANOTHER_SITE)
    client.cookies[VISIT] = aged(site.journey, client.cookies[VISIT], 90)

    assert VISIT in first.cookies
    assert VISIT in client.get("POST", **OF_ANOTHER_SITE).cookies


def test_own_cookies(site):
    """
    Cookies of the application stand beside ours.
    """
    site.handler = lambda place: Answer(200, [("Set-Cookie", "a=b"), ("X-Key", visit_of(place).key)], b"")

    assert set(site.client().get().cookies) == {"a", VISIT, GUEST}


@pytest.mark.parametrize(
    "token",
    ["", "x", "a.b.c", "..", "\xff\xfe", "eyJhbGciOiJub25lIn0.e30.", "x" * 1_000_000, '"', "%00", "null"],
    ids=lambda token: repr(token)[:20],
)
def test_strange_token(site, token):
    """
    Whatever a client brings as a token or as a guest's id is ignored, and replaced.
    """
    client = site.client()
    client.cookies = {VISIT: token, GUEST: token}

    assert client.get().status == 200
    assert client.get().cookies == {}
    assert {visit.key for visit in site.seen} == {client.cookies[GUEST]}


def test_stolen_token(site):
    """
    Another user's token chooses nothing: the visit begins anew.
    """
    victim, thief = site.client(), site.client()
    site.user = user_on("new", site.journey)
    victim.get()
    thief.cookies[VISIT] = victim.cookies[VISIT]
    site.user = user_on("old", site.journey)

    assert thief.get().body == b"old"
    assert events(site)["rejected"] == 1


def test_chosen_guest_id(site):
    """
    A guest cannot take the key of a user as its id.
    """
    client = site.client()
    client.cookies[GUEST] = "user-42"
    client.get()

    assert site.seen[0].key not in {"user-42", None}


@pytest.mark.parametrize("mine_first", [True, False])
def test_cookies_of_one_name(site, mine_first):
    """
    Among several cookies of the name, one that is bound to the key counts, whatever stands before or behind it.
    """
    site.user = user_on("new", site.journey)
    mine = site.journey.enter(site.user).token
    strange = [site.journey.enter("somebody").token, "garbage"]
    site.router.set(cart=0, pay=0)
    values = [mine, *strange] if mine_first else [*strange, mine]
    answer = site.client().ask({"cookie": "; ".join(f"{VISIT}={value}" for value in values)})

    assert answer.body == b"new"
    assert answer.cookies == {}
    assert "rejected" not in events(site)


def test_cookies_of_one_name_at_login(site):
    """
    Among several cookies of the name, the guest's counts after login.
    """
    client = site.client()
    client.get()
    site.user = user_on("old" if site.seen[0].backend is Backend.NEW else "new", site.journey)
    client.cookies[VISIT] = f"{site.journey.enter('somebody').token}; {VISIT}={client.cookies[VISIT]}"
    client.get()

    assert site.seen[0].backend is site.seen[1].backend
    assert "rejected" not in events(site)


@pytest.mark.parametrize("newest_first", [True, False])
def test_older_cookie_of_the_same_name(site, newest_first):
    """
    Of two tokens of the same visit the newer counts: the older knows nothing of what has happened since.
    """
    site.user = user_on("new", site.journey)
    newest = site.journey.enter(site.user).token
    oldest = aged(site.journey, site.journey.enter(site.user, home="old").token, 50)
    values = [newest, oldest] if newest_first else [oldest, newest]

    assert site.client().ask({"cookie": "; ".join(f"{VISIT}={value}" for value in values)}).body == b"new"


def test_header(site):
    """
    A client without cookies brings the token and the guest's id in headers, and gets them in headers.
    """
    client = site.client(carrier=Header())
    first = client.get()
    token, guest = first.of("cutover-visit")[0], first.of("cutover-guest")[0]
    second = client.get(cutover_visit=token, cutover_guest=guest)

    assert second.of("cutover-visit") == second.of("cutover-guest") == []
    assert site.seen[0].key == site.seen[1].key == guest
    assert events(site) == {"entered": 1, "resumed": 1}


def test_header_is_emptied(site):
    """
    An empty header tells such a client to forget its token.
    """

    def handler(place):
        visit_of(place).leave()
        return Answer(200, [], b"")

    client = site.client(carrier=Header(), key=lambda place: "user-42")
    token = client.get().of("cutover-visit")[0]
    site.handler = handler

    assert client.get(cutover_visit=token).of("cutover-visit") == [""]


def test_session(site):
    """
    In a session of the server, token and guest's id stand there, and the response is not touched.
    """
    session = {}
    client = site.client(carrier=Session(find=lambda place: session))
    first = client.get()
    token = session[VISIT]
    client.get()

    assert len(first.headers) == 1
    assert session == {VISIT: token, GUEST: site.seen[0].key}
    assert site.seen[0].key == site.seen[1].key
    assert events(site) == {"entered": 1, "resumed": 1}


def test_two_carriers(site):
    """
    The guest's id may be carried otherwise than the token.
    """
    client = site.client(carrier=Header(), guest=Cookie(name="visitor"))
    first = client.get()

    assert set(first.cookies) == {"visitor"}
    assert len(first.of("cutover-visit")) == 1


def test_two_journeys(site):
    """
    Middlewares for two journeys stand around each other, share the guest's id, and set each cookie once.
    """

    def handler(place):
        keys = {visit_of(place, name).key for name in ("purchase", "claim")}
        return Answer(200, [("Vary", "Accept")], " ".join(keys).encode())

    site.handler = handler
    client = site.client("purchase", "claim")
    first = client.get()
    second = client.get()

    assert sorted(first.cookies) == ["cutover-claim", GUEST, VISIT]
    assert len(first.of("set-cookie")) == 3
    assert len(first.of("cache-control")) == 1
    assert first.body.decode() == second.body.decode() == client.cookies[GUEST]
    assert second.cookies == {}


@pytest.mark.parametrize("carrier", [Header(), Cookie(name="visit")])
def test_two_journeys_in_one_place(site, carrier):
    """
    Two journeys cannot be carried under one name: each would throw away what the other has written.
    """
    client = site.client("purchase", "claim", carrier=carrier)

    with pytest.raises(
        ConfigurationError, match=r"claim and purchase are both carried in .*; allowed: a name for each"
    ):
        client.get()


def test_threads_of_one_request(site):
    """
    Threads that ask for the visit of one request at the same time get one visit.
    """
    visits = []
    another = Thread(target=lambda: visits.append(visit_of(site.place)))

    def key(place):
        site.place = place
        another.start()
        another.join(0.2)  # it waits for us, or else it has entered by now
        return "user-42"

    def handler(place):
        visits.append(visit_of(place))
        another.join()
        return Answer(200, [], b"")

    site.handler = handler
    site.client(key=key).get()

    assert visits[0] is visits[1]
    assert events(site) == {"entered": 1}


def test_guest_id_of_our_form(site):
    """
    A guest's id that came is used as it is, whatever the token says.
    """
    client = site.client()
    client.cookies[GUEST] = guest = new_guest_id()
    client.get()

    assert site.seen[0].key == guest
