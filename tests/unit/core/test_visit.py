"""
What a token says, how long it says it, and the rule by which a visit keeps its side.
"""

import json

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from strategies import FLOWS, altered, claims, journeys, orders, seconds, sides_of_flows

from cutover.core.backend import Backend
from cutover.core.defined import Journey
from cutover.core.visit import SKEW, UNVERSIONED, Claims, entered, resumed
from cutover.errors import Corrupt

OLD, NEW = Backend.OLD, Backend.NEW
evictions = st.dictionaries(st.sampled_from(FLOWS), orders)
definitions = st.lists(st.sampled_from(FLOWS), min_size=1, unique=True).flatmap(journeys)
defined = definitions.map(lambda found: next(iter(found.values()), None))
flags = st.fixed_dictionaries({flow: st.sampled_from(Backend) for flow in FLOWS})


class Flags:
    """
    What the flags say for each flow, with a note of who was asked for.
    """

    def __init__(self, sides) -> None:
        self.sides = sides
        self.asked: list[str] = []

    def __call__(self, flow: str) -> Backend:
        """
        Say it, and note the question.
        """
        self.asked.append(flow)
        return self.sides[flow]


def claims_of(sides, order=(1, 5), **more) -> Claims:
    """
    Give what a token says of these sides.
    """
    given_ = {"born": 1000, "seen": 1000, "until": 15_400, "idle": 1800, "cohort": None, **more}
    return Claims(audience="shop/purchase", bearer="b", sides=sides, order=order, **given_)


def journey_of(*flows: str, together: bool = True) -> Journey:
    """
    Give a journey over these flows.
    """
    return Journey(name="purchase", flows=flows, together=together)


@given(claims)
def test_round_trip(said):
    """
    What is written into a token is read out of it, after JSON.
    """
    assert Claims.from_document(json.loads(json.dumps(said.document()))) == said


@given(claims.map(Claims.document).flatmap(altered))
def test_altered_documents(document):
    """
    A document that is not what `document` writes is refused by one of four errors, or read into what can be written.
    """
    try:
        said = Claims.from_document(document)
    except (Corrupt, KeyError, TypeError, ValueError):
        return

    assert Claims.from_document(said.document()) == said


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("schema", "2.0"),
        ("schema", 1.0),
        ("at", [1]),
        ("at", [1, True]),
        ("at", "15"),
        ("at", [1, -1]),
        ("iat", "1000"),
        ("seen", 1000.0),
        ("idle", None),
        ("idle", -1),
        ("exp", 2801),
        ("old", ["pay"]),
        ("new", None),
        ("aud", ["shop/purchase"]),
        ("sub", 7),
        ("cohort", False),
        ("cohort", 0),
        ("cohort", []),
    ],
)
def test_fields_of_another_type(field, value):
    """
    A field of another type, or an `exp` that the rest contradicts, makes the whole document unreadable.
    """
    document = claims_of({"pay": NEW}, until=2800).document()
    assert Claims.from_document(document).expires == 2800

    with pytest.raises((Corrupt, KeyError, TypeError, ValueError)):
        Claims.from_document({**document, field: value})


def test_later_minors():
    """
    A later minor of the schema is read, and fields that are not known are passed over.
    """
    said = claims_of({"pay": NEW, "cart": OLD}, cohort="staff")

    assert Claims.from_document({**said.document(), "schema": "1.9", "more": [1]}) == said


@given(claims, seconds)
def test_over(said, now):
    """
    A visit is over a minute after its time to live, or after it was idle for so long, whichever comes first.
    """
    limits = (said.until, said.seen + said.idle)

    assert said.expires == min(limits)
    assert said.is_over(now) is any(now > limit + SKEW.total_seconds() for limit in limits)


@pytest.mark.parametrize(("now", "over"), [(2800, False), (2860, False), (2861, True)])
def test_a_minute_of_skew(now, over):
    """
    A token is honoured up to a minute after it expires: the clock that wrote it may have been behind.
    """
    assert claims_of({}).is_over(now) is over


@pytest.mark.parametrize("field", ["born", "seen"])
@pytest.mark.parametrize(("now", "early"), [(5000, False), (4940, False), (4939, True)])
def test_written_in_the_future(field, now, early):
    """
    A token that was written more than a minute in the future is early, and up to that the clocks may differ.
    """
    assert claims_of({}, **{field: 5000}).is_early(now) is early


@given(claims, seconds)
def test_due(said, now):
    """
    A token is due once its last step is a minute back, or a quarter of the idle time if that is less.
    """
    since = now - said.seen

    assert said.is_due(now) is (since > 60 or since * 4 > said.idle)


@given(defined, flags)
def test_entered(journey, says):
    """
    A visit that begins has every flow of its journey, where the flags say; one question decides for a `together` one.
    """
    assume(journey is not None)
    asked = Flags(says)
    sides = entered(journey, asked)

    assert tuple(sides) == journey.flows
    assert asked.asked == list(journey.flows[:1] if journey.together else journey.flows)
    assert all(side is says[journey.flows[0] if journey.together else flow] for flow, side in sides.items())


def is_evicted(journey, said, ended, flow) -> bool:
    """
    Tell by the rule's words whether a flow of a token is evicted.
    """
    together = journey is not None and journey.together
    looked_at = {flow} | (set(journey.flows) | set(said.sides) if together else set())
    return said.sides.get(flow) is NEW and any(said.order < ended.get(one, (0, 0)) for one in looked_at)


@given(defined, claims, evictions, flags)
def test_resumed_keeps(journey, said, ended, says):
    """
    A flow keeps its side unless it is evicted, also one that has left the journey, and OLD is never evicted.
    """
    sides, _ = resumed(journey, said, ended, Flags(says))
    for flow, side in said.sides.items():
        if not is_evicted(journey, said, ended, flow):
            assert sides[flow] is side


@given(defined, claims, evictions, flags)
def test_resumed_evicts(journey, said, ended, says):
    """
    What is evicted is decided as if the visit began now, or forgotten where its flow left the journey; and it is told.
    """
    flows = () if journey is None else journey.flows
    gone = {flow for flow in FLOWS if is_evicted(journey, said, ended, flow)}
    sides, evicted = resumed(journey, said, ended, Flags(says))

    assert evicted is bool(gone)
    assert {flow: sides.get(flow) for flow in gone} == {flow: says[flow] if flow in flows else None for flow in gone}


@given(defined, claims, evictions, flags)
def test_resumed_newcomers(journey, said, ended, says):
    """
    A flow that came into the journey goes where the others of a `together` journey are, OLD where they differ; else OLD
    in a visit that was entered before anything was known, and where the flags say in any other.
    """
    flows = () if journey is None else journey.flows
    sides, _ = resumed(journey, said, ended, Flags(says))
    others = {sides[flow] for flow in flows if flow in said.sides}
    for flow in set(flows) - set(said.sides):
        if journey.together and others:
            assert sides[flow] is (OLD if OLD in others else NEW)
        else:
            assert sides[flow] is (OLD if said.order == UNVERSIONED else says[flow])


@given(defined, claims, evictions, flags)
def test_resumed_knows_no_other_flow(journey, said, ended, says):
    """
    A visit has the flows of its journey and those of its token, and no other.
    """
    flows = () if journey is None else journey.flows
    sides, _ = resumed(journey, said, ended, Flags(says))

    assert set(flows) <= set(sides) <= {*flows, *said.sides}


@given(defined, claims, evictions, st.sampled_from(Backend), st.sampled_from(Backend))
def test_together_is_never_split(journey, said, ended, was, says):
    """
    A visit that was on one side is on one side afterwards, whatever was evicted and whatever came into the journey.
    """
    assume(journey is not None and journey.together)
    sides, _ = resumed(
        journey,
        said._replace(sides=dict.fromkeys(said.sides, was)),
        ended,
        Flags(dict.fromkeys(FLOWS, says)),
    )

    assert len({sides[flow] for flow in journey.flows}) == 1


@given(defined, claims, evictions, flags, flags)
def test_an_eviction_is_met_once(journey, said, ended, says, later):
    """
    Who has heeded every eviction is not evicted again, and nothing is decided twice, whatever the flags say by then.
    """
    sides, _ = resumed(journey, said, ended, Flags(says))
    heeded = said._replace(sides=sides, order=max(said.order, (1, 1), *ended.values()))
    flags_later = Flags(later)

    assert resumed(journey, heeded, ended, flags_later) == (sides, False)
    assert flags_later.asked == []


@given(claims, evictions, sides_of_flows)
def test_without_a_journey(said, ended, more):
    """
    Where the journey is not defined, or nothing is known, nobody is asked, and what is not evicted stays.
    """
    nobody = Flags({})
    said = said._replace(sides={**said.sides, **more})
    sides, _ = resumed(None, said, ended, nobody)

    assert nobody.asked == []
    assert sides == {f: s for f, s in said.sides.items() if s is OLD or said.order >= ended.get(f, UNVERSIONED)}


@pytest.mark.parametrize(
    ("together", "ended", "expected"),
    [
        (True, {"cart": (1, 6)}, {"cart": OLD, "pay": OLD}),
        (False, {"cart": (1, 6)}, {"cart": OLD, "pay": NEW}),
        (True, {"cart": (1, 5)}, {"cart": NEW, "pay": NEW}),
        (True, {"cart": (2, 1)}, {"cart": OLD, "pay": OLD}),
        (True, {"browse": (1, 6)}, {"cart": NEW, "pay": NEW}),
    ],
    ids=["one flow ends all", "one flow ends itself", "not older", "another epoch", "no flow of it"],
)
def test_whom_a_rollback_meets(together, ended, expected):
    """
    A rollback after the token's version ends a NEW side: in a `together` journey all of them, else that of its flow.
    """
    said = claims_of({"cart": NEW, "pay": NEW}, (1, 5))
    sides, _ = resumed(journey_of("cart", "pay", together=together), said, ended, Flags(dict.fromkeys(FLOWS, OLD)))

    assert sides == expected


def test_a_rollback_of_a_newcomer():
    """
    In a `together` journey a flow that the token does not have yet ends the visit on NEW, too: it would go with it.
    """
    said = claims_of({"cart": NEW}, (1, 5))
    sides, evicted = resumed(journey_of("cart", "pay"), said, {"pay": (1, 6)}, Flags(dict.fromkeys(FLOWS, OLD)))

    assert (sides, evicted) == ({"cart": OLD, "pay": OLD}, True)


@pytest.mark.parametrize("order", [(1, 9), (2, 1)])
def test_a_token_from_ahead(order):
    """
    A token of a router that is ahead is honoured, also from a higher epoch: it has heeded what is not known here yet.
    """
    said = claims_of({"cart": NEW, "pay": NEW}, order)

    assert resumed(journey_of("cart", "pay"), said, {"pay": (1, 7)}, Flags({})) == ({"cart": NEW, "pay": NEW}, False)
