"""
The definition as a value and as it stands in the ledger.
"""

import json
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import FLOWS, altered, definition_of, migrations, short

from cutover.core.backend import Backend
from cutover.core.canonical import encode
from cutover.core.defined import Cohort, Flow, Journey, WorkItem, Wrong, frozen_mapping
from cutover.core.migration import Migration
from cutover.errors import Corrupt

OLD, NEW = Backend.OLD, Backend.NEW
SHOP = definition_of(
    *FLOWS,
    started=date(2023, 12, 11),
    deadline=date(2024, 4, 11),
    journeys={
        "purchase": Journey(name="purchase", flows=("cart", "pay")),
        "look": Journey(name="look", flows=("browse",), together=False),
    },
    work={"branding": WorkItem(name="branding", title="Texts", weight=Decimal("13.5"))},
    cohorts={"staff": Cohort(name="staff", title="Employees")},
)


@given(migrations())
def test_round_trip(migration):
    """
    A definition is read back from the ledger equal, order of flows included.
    """
    again = Migration.from_document(json.loads(encode(migration.document())))

    assert migration == again
    assert list(migration.flows) == list(again.flows)
    assert migration.document() == again.document()


def test_document():
    """
    In the ledger a definition is text, booleans and integers; times are seconds, weights plain decimals.
    """
    document = SHOP.document()

    assert document["flows"][0] == {"name": "browse", "weight": "1"}
    assert document["journeys"][0] == {
        "name": "purchase",
        "flows": ["cart", "pay"],
        "together": True,
        "idle_seconds": 1800,
        "ttl_seconds": 14400,
    }
    assert document["work"] == [{"name": "branding", "title": "Texts", "weight": "13.5"}]
    assert (document["started"], document["deadline"]) == ("2023-12-11", "2024-04-11")
    assert "started" not in definition_of("pay").document()


@given(st.data())
def test_altered_document(data):
    """
    A definition altered in the ledger is `Corrupt`, or one that keeps every rule.
    """
    document = data.draw(altered(SHOP.document()))
    whole = document if isinstance(document, dict) else {"name": document}
    with suppress(Corrupt):
        migration = Migration.from_document(whole)
        assert migration == Migration.from_document(migration.document())


@pytest.mark.parametrize("name", sorted(set(SHOP.document()) - {"started", "deadline"}))
def test_missing_field(name):
    """
    A definition that lacks a field is refused, whichever it is.
    """
    with pytest.raises(Corrupt):
        Migration.from_document({key: value for key, value in SHOP.document().items() if key != name})


@pytest.mark.parametrize(
    "fields",
    [
        {"name": None},
        {"title": 5},
        {"flows": {}},
        {"flows": {"pay": {}}},
        {"flows": ["pay"]},
        {"flows": [{"name": "pay"}]},
        {"flows": [{"name": "pay", "weight": 1}]},
        {"flows": [{"name": "pay", "weight": "heavy"}]},
        {"flows": [{"name": "pay", "weight": "NaN"}]},
        {"flows": [{"name": "pay", "weight": "1E+999999999"}]},
        {"flows": [{"name": "pay", "weight": "1E-999999999"}]},
        {"flows": [{"name": "pay", "weight": "1"}, {"name": "pay", "weight": "2"}]},
        {"journeys": [{**SHOP.document()["journeys"][0], "together": "false"}]},
        {"journeys": [{**SHOP.document()["journeys"][0], "flows": "pay"}]},
        {"journeys": [{**SHOP.document()["journeys"][0], "flows": ["cart", None]}]},
        {"journeys": [{**SHOP.document()["journeys"][0], "ttl_seconds": 2**53 - 1}]},
        {"journeys": [{**SHOP.document()["journeys"][0], "ttl_seconds": True}]},
        {"journeys": [{**SHOP.document()["journeys"][0], "idle_seconds": "30m"}]},
        {"work": [{"name": "branding", "title": None, "weight": "1"}]},
        {"cohorts": [{"name": "staff"}]},
        {"started": 5},
        {"started": ""},
        {"deadline": "2024-02-30"},
        {"deadline": "9999-12-31"},
        {"timezone": "Mars"},
        {"salt": ""},
        {"scheme": "murmur3/2"},
    ],
    ids=short,
)
def test_poison(fields):
    """
    A definition in the ledger with a value that no file could have given is refused.
    """
    with pytest.raises(Corrupt):
        Migration.from_document({**SHOP.document(), **fields})


def test_journeys():
    """
    A flow goes together with those of its journey only where the journey says so.
    """
    assert SHOP.journey_of("pay") is SHOP.journeys["purchase"]
    assert SHOP.journey_of("checkout") is None
    assert SHOP.together_with("pay") == ("cart", "pay")
    assert SHOP.together_with("browse") == ("browse",)
    assert SHOP.together_with("checkout") == ("checkout",)


@pytest.mark.parametrize(
    ("timezone", "instant"),
    [
        ("UTC", datetime(2024, 4, 12, tzinfo=UTC)),
        ("Asia/Jakarta", datetime(2024, 4, 11, 17, tzinfo=UTC)),
        ("America/St_Johns", datetime(2024, 4, 12, 2, 30, tzinfo=UTC)),
    ],
)
def test_deadline_is_the_end_of_its_day(timezone, instant):
    """
    The deadline is the end of the last day, where the migration is at home.
    """
    assert attrs.evolve(SHOP, timezone=timezone).deadline_instant() == instant


def test_start_is_the_beginning_of_its_day():
    """
    A migration starts when its first day begins, where it is at home.
    """
    jakarta = attrs.evolve(SHOP, timezone="Asia/Jakarta")

    assert jakarta.started_instant() == datetime(2023, 12, 10, 17, tzinfo=UTC)
    assert definition_of("pay").started_instant() is None


@given(migrations())
def test_every_deadline_is_an_instant(migration):
    """
    Whatever deadline and zone a definition may have, the end of that day exists.
    """
    instant = migration.deadline_instant()

    assert (instant is None) is (migration.deadline is None)
    assert instant is None or abs(instant.date() - migration.deadline) <= timedelta(days=2)


def test_sides():
    """
    A side goes by old or new and by its own name; an unmarked thing is old.
    """
    assert SHOP.sides() == {None: OLD, "old": OLD, "tiktok": OLD, "new": NEW, "tokopedia": NEW}


def test_nobody_changes_a_definition():
    """
    A definition does not follow what it was made from, nor can it be changed.
    """
    flows = {"pay": Flow(name="pay")}
    migration = definition_of(flows=flows)
    flows["cart"] = Flow(name="cart")

    assert list(migration.flows) == ["pay"]
    with pytest.raises(TypeError, match="does not support item assignment"):
        migration.flows["cart"] = Flow(name="cart")
    with pytest.raises(TypeError, match="does not support item assignment"):
        frozen_mapping({})["a"] = 1


def long_journey(names: int, former: int = 0) -> Migration:
    """
    Give a definition whose one journey has so many flows with long names, and so many names that a flow had before.
    """
    was = tuple(f"{n:063}-" for n in range(former))
    flows = {name: Flow(name=name, was=was if not n else ()) for n, name in enumerate(f"{n:064}" for n in range(names))}
    return definition_of(flows=flows, journeys={"a": Journey(name="a", flows=tuple(flows))})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Flow(name="A"), r"^flows\.A is named 'A'; allowed: 1 to 64 of a-z"),
        (lambda: Flow(name="a", weight=Decimal(0)), r"^flows\.a\.weight is 0; allowed: a positive number"),
        (lambda: Flow(name="a", weight=Decimal("sNaN")), r"^flows\.a\.weight is sNaN; allowed: a positive number"),
        (
            lambda: Journey(name="a", flows=("b",), idle=timedelta(seconds=1.5)),
            r"^journeys\.a\.idle is 0:00:01\.500000; allowed: whole seconds",
        ),
        (
            lambda: Journey(name="a", flows=("b",), ttl=timedelta(days=366)),
            r"^journeys\.a\.ttl is 366 days, 0:00:00; allowed: whole seconds, 1s to 365d$",
        ),
        (
            lambda: long_journey(names=32),
            r"^journeys\.a\.flows has names of 2079 characters, with blanks between; allowed: up to 2000$",
        ),
        (
            lambda: long_journey(names=2, former=30),
            r"^journeys\.a\.flows has names of 2079 characters, with blanks between; allowed: up to 2000$",
        ),
        (lambda: Flow(name="a", was=("a",)), r"^flows\.a\.was is \['a'\]; allowed: names that the flow had before"),
        (lambda: Flow(name="a", was=("b", "b")), r"^flows\.a\.was is \['b', 'b'\]; allowed: names .*, each once$"),
        (lambda: Flow(name="a", was=("B",)), r"^flows\.a\.was is named 'B'; allowed: 1 to 64 of a-z"),
        (
            lambda: definition_of(flows={"a": Flow(name="a", was=("b",)), "b": Flow(name="b")}),
            r"^flows\.a\.was names 'b', which is a flow; allowed: a name that no flow and no journey has$",
        ),
        (
            lambda: definition_of(flows={name: Flow(name=name, was=("c",)) for name in "ab"}),
            r"^flows\.a\.was names 'c', as 'b' does; allowed: a name for one flow$",
        ),
        (
            lambda: definition_of(
                flows={"a": Flow(name="a", was=("j",))}, journeys={"j": Journey(name="j", flows=("a",))}
            ),
            r"^flows\.a\.was names 'j', which is a journey; allowed: a name that no flow and no journey has$",
        ),
        (definition_of, r"^flows is missing; allowed: at least one \[flows\.NAME\]$"),
        (lambda: definition_of("pay", salt="a b"), r"^salt is 'a b'; allowed: 1 to 64 of A-Z"),
    ],
)
def test_rules_hold_for_values_too(make, message):
    """
    A definition that is built by a program keeps the rules of the file.
    """
    with pytest.raises(Wrong, match=message):
        make()


def test_problem_is_cut_short():
    """
    A wrong value of megabytes does not fill the error.
    """
    assert str(Wrong(("title",), "x" * 1000, "less")) == f"title {'x' * 120}...; allowed: less"
