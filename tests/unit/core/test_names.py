"""
Names that an application asks for: which of them a definition has, which is meant, and how many are told.
"""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import FLOWS, JOURNEYS, definition_of, texts

from cutover.core.defined import Cohort, Flow, Journey
from cutover.core.names import LONGEST_ASKED, MOST_LACKING, Asked, NameKind, bounded, closest, is_known

SHOP = definition_of(
    flows={"cart": Flow(name="cart"), "payment": Flow(name="payment", was=("paying",))},
    journeys={"purchase": Journey(name="purchase", flows=("cart", "payment"))},
    cohorts={"staff": Cohort(name="staff", title="Employees")},
)
strangers = st.builds(
    Asked, st.sampled_from(NameKind), st.sampled_from((*FLOWS, *JOURNEYS, "staff")) | texts, st.integers(0, 99)
)


@pytest.mark.parametrize(
    ("kind", "name", "expected"),
    [
        (NameKind.FLOW, "cart", True),
        (NameKind.FLOW, "paying", True),
        (NameKind.FLOW, "Cart", False),
        (NameKind.FLOW, "purchase", False),
        (NameKind.FLOW, "staff", False),
        (NameKind.JOURNEY, "purchase", True),
        (NameKind.JOURNEY, "cart", False),
        (NameKind.JOURNEY, "paying", False),
        (NameKind.COHORT, "staff", True),
        (NameKind.COHORT, "", False),
    ],
)
def test_what_is_known(kind, name, expected):
    """
    A name is known as one of its kind alone; a flow also by a name that it had before.
    """
    assert is_known(SHOP, kind, name) is expected


@pytest.mark.parametrize(
    ("kind", "name", "expected"),
    [
        (NameKind.FLOW, "pay", "payment"),
        (NameKind.FLOW, "Payment", "payment"),
        (NameKind.FLOW, "paymnet", "payment"),
        (NameKind.FLOW, "carts", "cart"),
        (NameKind.FLOW, "card", "cart"),
        (NameKind.FLOW, "refund", ""),
        (NameKind.FLOW, "", ""),
        (NameKind.JOURNEY, "purchases", "purchase"),
        (NameKind.COHORT, "stuff", "staff"),
    ],
)
def test_the_closest_name(kind, name, expected):
    """
    The closest name is one of the same kind that a typing error, another case or a shortening makes of it; else none.
    """
    assert closest(SHOP, kind, name) == expected


def test_the_closest_name_of_a_long_one():
    """
    A name of a megabyte is compared by its beginning.
    """
    assert closest(SHOP, NameKind.FLOW, "x" * 1_000_000) == ""


@given(st.lists(strangers, max_size=80), st.booleans())
def test_what_is_told_is_bounded(asked, is_read):
    """
    Every known name is told with its count; of the others the ones that were asked for most, none longer than allowed.
    """
    definition = SHOP if is_read else None
    told = bounded(asked, definition)

    names = [(one.kind, one.name) for one in told]
    assert names == sorted(set(names))
    assert all(len(one.name) <= LONGEST_ASKED for one in told)
    lacking = [one for one in told if definition is None or not is_known(SHOP, one.kind, one.name)]
    assert all(sum(one.kind is kind for one in lacking) <= MOST_LACKING for kind in NameKind)
    for kind, name in {(one.kind, one.name) for one in asked if is_read and is_known(SHOP, one.kind, one.name)}:
        assert Asked(kind, name, sum(a.requests for a in asked if (a.kind, a.name) == (kind, name))) in told
    left = sum(one.requests for one in asked) - sum(one.requests for one in told)
    assert left >= 0


def test_those_that_are_asked_for_most_are_told():
    """
    Of more unknown names than a check-in may tell, those stay that were asked for most.
    """
    asked = [Asked(NameKind.FLOW, f"flow-{number}", number) for number in range(2 * MOST_LACKING)]

    assert {one.requests for one in bounded(asked, SHOP)} == set(range(MOST_LACKING, 2 * MOST_LACKING))


def test_names_are_made_presentable():
    """
    A name is told without what would alter a terminal or a log: line breaks, control and direction characters.
    """
    (told,) = bounded([Asked(NameKind.FLOW, "支払い\n\x1b[31m\u202e", 1)], SHOP)

    assert told.name == "支払い\ufffd\ufffd[31m\ufffd"


def test_names_that_are_cut_alike_are_added_up():
    """
    Names that are the same once they are cut are one name, with both their counts.
    """
    asked = [Asked(NameKind.FLOW, "x" * 200 + end, 2) for end in "ab"]

    (told,) = bounded(asked, SHOP)
    assert (len(told.name), told.requests) == (LONGEST_ASKED, 4)
