"""
The request path: it decides as the rule says, never raises, and counts each request once.
"""

import tracemalloc
import warnings
from collections import UserString
from enum import StrEnum
from unittest.mock import ANY, MagicMock, Mock

import pytest
from circumstances import circumstances
from hypothesis import given
from hypothesis import strategies as st
from routers import FIRST, SHOP, after, events, logged, totals
from strategies import (
    COHORTS,
    FLOWS,
    KEYS,
    SECRET,
    Mixed,
    Nameless,
    Rude,
    Stranger,
    Unmasked,
    at,
    begun,
    definition_of,
    hostile_keys,
)
from werkzeug.local import LocalProxy

from cutover.core import changes
from cutover.core.backend import UNSET, Backend, Reason
from cutover.core.bucketing import PARTS
from cutover.core.decide import decide
from cutover.router.compiled import Circumstances
from cutover.router.flow import Flow
from cutover.router.notices import NoticeBoard
from cutover.router.strangers import kind_of

OLD, NEW = Backend.OLD, Backend.NEW


class Cohort(StrEnum):
    """
    Cohorts as an application may name them.
    """

    STAFF = "staff"


class Pretender:
    """
    Something that is no cohort, key or home, and hashes and compares like one.
    """

    def __hash__(self) -> int:
        return hash("staff")

    def __eq__(self, other: object) -> bool:
        return True


class Blank(str):
    """
    Text that says it is empty.
    """

    __slots__ = ()

    def __bool__(self) -> bool:
        return False

    def __len__(self) -> int:
        return 0


class Escaped(str):
    """
    Text that escapes what it is added to, as markup does.
    """

    __slots__ = ()

    def __radd__(self, other: str) -> str:
        return Escaped(other.replace("&", "&amp;").replace("<", "&lt;") + str.__str__(self))


class Sticky(bytes):
    """
    Bytes that cannot be added to.
    """

    __slots__ = ()

    def __radd__(self, other: object) -> bytes:
        raise RuntimeError("no")

    def __bool__(self) -> bool:
        raise RuntimeError("no")


class TextProxy:
    """
    A lazy proxy, as web frameworks hand them out: it says that it is text.
    """

    def __init__(self, text: str) -> None:
        self.text = text

    @property
    def __class__(self) -> type:
        return str

    def __str__(self) -> str:
        return self.text


class NamelessError(Exception, metaclass=Nameless):
    """
    An error of such a type.
    """


ODD_KEYS = (
    0,
    0.0,
    False,
    [],
    (),
    10**5000,
    -1,
    "x" * 10_000_000,
    b"x" * 10_000_000,
    "a\0b",
    "\ud800",
    Escaped("user&<b>42"),
    Blank("user-1"),
    Mixed("user-1"),
    Sticky(b"user-1"),
    Sticky(b""),
    bytearray(b"user-1"),
    memoryview(b"user-1"),
    TextProxy("user-1"),
    Mock(spec=str),
    Mock(spec=bytes),
    Stranger(),
    Pretender(),
    Rude(),
    Unmasked(),
    Backend.NEW,
    float("nan"),
    {"a", "b"},
    ("shop", None),
    UserString("user-1"),
    LocalProxy(lambda: None),
    LocalProxy(lambda: "user-1"),
    LocalProxy(lambda: b"user-1"),
    MagicMock(),
    print,
)
ODD = (
    ANY,
    1,
    1.5,
    b"staff",
    (),
    [],
    {},
    "",
    "stranger",
    "STAFF",
    "\ud800",
    Rude(),
    Unmasked(),
    Pretender(),
    Mixed("x"),
)
odd = st.integers(0, len(ODD) - 1).map(ODD.__getitem__)  # their `repr` raises, too
cohorts = st.none() | st.sampled_from((*COHORTS, Cohort.STAFF, Mixed("staff"))) | odd
homes = (
    st.just(UNSET)
    | st.sampled_from((None, OLD, NEW, "old", "new", "tiktok", "tokopedia", "lazada", "NEW ", b"new"))
    | odd
)
keys = st.sampled_from(KEYS) | hostile_keys | st.integers(0, len(ODD_KEYS) - 1).map(ODD_KEYS.__getitem__)
requests = st.lists(st.tuples(keys, cohorts, homes), min_size=1, max_size=4)


def flow_of(*given_, name: str = "pay", **options) -> Flow:
    """
    Give a flow that holds what is given last.
    """
    flow = Flow(name, NoticeBoard(), **options)
    for one in given_:
        flow.use(one)
    return flow


def asked(flow: Flow, given_: Circumstances, key, cohort, home):
    """
    Ask the rule.
    """
    facts = {"break_glass": given_.break_glass, "secret": given_.secret}
    return decide(given_.snapshot, flow.name, key, cohort=cohort, home=home, **facts)


def test_keys_that_name_nobody():
    """
    Whatever asks, a key that names nobody is `no_key`, and the log names its type once and never its value.
    """
    notices = NoticeBoard()
    flow = Flow("browse", notices)
    flow.use(Circumstances(snapshot=after(lambda s: changes.set_dial(s, "browse", 50_000))))
    for key in (None, "", False, 7.5, object(), object(), {"a"}, print):
        reasons = {flow.peek(key).reason, flow.decide(key).reason}
        assert reasons == {Reason.PERCENT if key == 7.5 else Reason.NO_KEY}
        assert flow.route(key) is OLD or key == 7.5

    kinds = ("bool", "object", "set", "builtin_function_or_method")
    told = [(one["event"], one["flow"], one["kind"]) for one in logged(notices)]
    assert told == [("cutover.no_key", "browse", kind) for kind in kinds]


@given(st.lists(circumstances, min_size=1, max_size=2), st.sampled_from(FLOWS), requests)
def test_decides_as_the_rule_says(held, name, asked_for):
    """
    `route`, `decide` and `peek` give what `cutover.core.decide` gives, after one snapshot and after another.
    """
    flow = flow_of(name=name)
    for given_ in held:
        flow.use(given_)
        for key, cohort, home in asked_for:
            expected = asked(flow, given_, key, cohort, home)

            assert flow.decide(key, cohort, home) == expected
            assert flow.peek(key, cohort, home) == expected
            assert flow.route(key, cohort, home) is expected.backend
            assert flow.route(key, cohort, home, synthetic=True) is expected.backend


@given(circumstances, st.sampled_from(FLOWS), requests)
def test_cohort_of_counts_as_the_cohort(given_, name, asked_for):
    """
    What `cohort_of` gives decides as if the call had given it; a cohort in the call goes before it.
    """
    for key, cohort, home in asked_for:
        flow = flow_of(given_, name=name, cohort_of=lambda _, cohort=cohort: cohort)
        expected = asked(flow, given_, key, cohort, home)
        by_call = asked(flow, given_, key, "jakarta", home)

        assert (flow.route(key, home=home), flow.decide(key, home=home)) == (expected.backend, expected)
        assert flow.route(key, "jakarta", home) is by_call.backend


@given(circumstances, st.sampled_from(FLOWS), requests)
def test_counts_once_in_the_right_cell(given_, name, asked_for):
    """
    Each request is counted once, by what it was told; load tests are apart, and a peek is not counted.
    """
    flow = flow_of(given_, name=name)
    expected: dict = {}

    def note(kind: str, decision, detail: str) -> None:
        cell = (kind, name, str(decision.backend), detail)
        expected[cell] = expected.get(cell, 0) + 1

    for key, cohort, home in asked_for:
        decision = flow.peek(key, cohort, home)
        flow.route(key, cohort, home)
        note("requests", decision, str(decision.reason))
        flow.decide(key, cohort, home)
        note("requests", decision, str(decision.reason))
        flow.route(key, cohort, home, synthetic=True)
        note("synthetic", decision, "")
        flow.decide(key, cohort, home, synthetic=True)
        note("synthetic", decision, "")

    assert totals(flow) == expected


@pytest.mark.parametrize("number", range(len(ODD_KEYS)), ids=lambda number: kind_of(ODD_KEYS[number]))
@pytest.mark.parametrize("parts", [0, 50_000, PARTS])
def test_odd_keys(number, parts):
    """
    Whatever a key is, it is decided as the rule says, with and without overrides beside it.
    """
    key = ODD_KEYS[number]
    for verbs in ([at("browse", parts)], [at("browse", parts), put("browse", KEYS[0], NEW)]):
        given_ = Circumstances(snapshot=after(*verbs), secret=SECRET)
        flow = flow_of(given_, name="browse")
        expected = decide(given_.snapshot, "browse", key, secret=SECRET)

        assert flow.route(key) is expected.backend
        assert flow.decide(key) == expected


def put(target: str, key: str, side: Backend):
    """
    Give the verb that overrides a key.
    """
    return lambda s: changes.override(s, target, key, side, secret=SECRET)


def test_a_falsy_number_is_a_key():
    """
    The user with the number 0 has a place like any other.
    """
    flow = flow_of(Circumstances(snapshot=after(at("browse", 50_000))), name="browse")

    assert flow.decide(0) == flow.decide("0")
    assert flow.decide(0).reason is Reason.PERCENT


def test_a_proxy_of_text_is_its_text():
    """
    A lazy proxy that says it is text is bucketed by the text that it stands for.
    """
    flow = flow_of(Circumstances(snapshot=after(at("browse", 50_000))), name="browse")

    assert flow.decide(TextProxy("user-1")) == flow.decide("user-1")


def test_cohort_of_gets_the_key_as_it_was_given():
    """
    The application's function sees its own key, also where the key is bucketed by its text.
    """
    seen = []
    flow = flow_of(Circumstances(snapshot=FIRST), cohort_of=seen.append)
    flow.route(42)
    flow.decide(42)

    assert set(map(type, seen)) == {int}


@pytest.mark.parametrize("error", [RuntimeError("user-1"), NamelessError("user-1")], ids=kind_of)
def test_a_failing_cohort_of_is_no_cohort(error):
    """
    Where `cohort_of` raises, the flow's own dial decides, and the log tells it once without the key.
    """

    def cohort_of(key):
        raise error

    notices = NoticeBoard()
    flow = Flow("browse", notices, cohort_of)
    snapshot = after(at("browse", 50_000), at("browse", PARTS, "staff"))
    flow.use(Circumstances(snapshot=snapshot))
    for key in KEYS:
        assert flow.route(key) is decide(snapshot, "browse", key).backend

    logs = logged(notices)
    assert events(logs) == ["cutover.cohort_of_failed"]
    assert "user-1" not in str(logs)


@pytest.mark.parametrize("way", ["route", "decide", "peek"])
def test_a_cohort_of_that_must_be_awaited(way):
    """
    A coroutine is no cohort: the flow's own dial decides, the log tells it once, and Python warns of nothing.
    """

    async def later(_key):
        return "staff"

    def cohort_of(key):
        return later(key)

    notices = NoticeBoard()
    flow = Flow("browse", notices, cohort_of)
    flow.use(Circumstances(snapshot=FIRST))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sides = [getattr(flow, way)(key) for key in ("user-1", 7, b"user-1")]
        sides.append(getattr(flow, way)("user-1", later("user-1")))
    logs = logged(notices)

    assert len(sides) == 4
    assert [(line["event"], line["error"]) for line in logs] == [("cutover.cohort_of_failed", "it gave a coroutine")]


@pytest.mark.parametrize("kind", [Stranger, Rude, Unmasked, Pretender, list, int], ids=kind_of)
def test_an_unknown_home_never_raises(kind):
    """
    A home that nobody knows goes as the rule says, and the log tells its type and not its value.
    """
    notices = NoticeBoard()
    flow = Flow("browse", notices)
    flow.use(Circumstances(snapshot=FIRST))
    flow.route("user-1", home="lazada")
    home = kind()

    assert flow.route("user-1", home=home) is decide(FIRST, "browse", "user-1", home=home).backend
    assert "lazada" not in str(logged(notices))


class Undecided:
    """
    Something that cannot tell whether it is true.
    """

    def __bool__(self) -> bool:
        raise RuntimeError("no")


def test_an_odd_mark_is_no_load_test():
    """
    Where `synthetic` cannot tell whether it is true, the request counts as an ordinary one.
    """
    flow = flow_of(Circumstances(snapshot=FIRST))
    undecided = Undecided()
    with flow.request("user-1", synthetic=undecided):
        flow.route("user-1", synthetic=undecided)

    assert totals(flow) == {("requests", "pay", "old", "percent"): 2, ("calls", "pay", "old", "ok"): 1}


def test_a_flow_made_before_the_snapshot():
    """
    A handle follows what holds: nothing, a snapshot, one without its flow, and one with it again.
    """
    shop = Circumstances(snapshot=after(at("browse", PARTS)))
    without = Circumstances(snapshot=changed_without("browse"))
    flow = flow_of(name="browse")
    reasons = [flow.decide("user-1").reason]
    for held in (shop, without, shop):
        flow.use(held)
        reasons.append(flow.decide("user-1").reason)

    assert reasons == [Reason.DEFAULT, Reason.PERCENT, Reason.DEFAULT, Reason.PERCENT]
    assert totals(flow) == {
        ("requests", "browse", "old", "default"): 2,
        ("requests", "browse", "new", "percent"): 2,
    }


def changed_without(flow: str):
    """
    Give a snapshot whose definition does not have a flow.
    """
    return begun(definition_of(*(name for name in SHOP.flows if name != flow)))


def test_nothing_grows_with_requests():
    """
    Requests of every kind leave no memory behind.
    """
    flow = flow_of(Circumstances(snapshot=after(at("browse", 50_000)), secret=SECRET), name="browse")
    strange = Rude()

    def serve(number: int) -> None:
        for user in range(number):
            flow.route(user)
            flow.route("user", "staff")
            flow.route(strange, home=strange)

    serve(1000)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        serve(10_000)
        flow.decide("user-1")
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()

    assert grown < 10_000


class Interrupting(str):
    """
    A key that lets the first snapshot come in while it is hashed, as another thread could.
    """

    __slots__ = ("come_in",)

    def __radd__(self, salt):
        """
        Let it come in between the salt and the threshold.
        """
        self.come_in()
        return salt + str(self)


def test_the_first_snapshot_comes_in_while_a_key_is_hashed():
    """
    A request that began before there was a salt is not held against a dial.
    """
    flow = Flow("pay", NoticeBoard())
    given = Circumstances(snapshot=after(at("purchase", 50_000)))
    sides = set()
    for number in range(100):
        flow.use(Circumstances())
        key = Interrupting(f"user-{number}")
        key.come_in = lambda: flow.use(given)
        decided = flow.route(key)
        flow.use(given)
        sides.add((decided, decided is OLD or flow.peek(str(key)).backend is NEW))

    assert {right for _, right in sides} == {True}
    assert {flow.route(f"user-{number}") for number in range(100)} == {OLD, NEW}
