"""
Two values walked through together: at most once each pair, within a budget, and to the end whatever refers to whatever.
"""

import gc
from collections.abc import Mapping, Sequence
from types import SimpleNamespace

import pytest
from answers import Plain
from hypothesis import given
from hypothesis import strategies as st

from cutover.core.comparison import Comparison, compare_answers
from cutover.core.differing import BREATH, Budget, Walk, is_ignored
from cutover.core.parts import NotComparable
from cutover.core.verdict import Answer, Verdict


def places(old, new, ignored=(), budget=None):
    """
    Give the paths of all differences.
    """
    return [difference.path for difference in Walk(ignored, budget).differences(old, new)]


def circle(number):
    """
    Give two objects that refer to each other by two fields.
    """
    one, other = SimpleNamespace(number=1), SimpleNamespace(number=number)
    one.left = one.right = other
    other.left = other.right = one
    return one


def shared(number, levels=200):
    """
    Give lists that hold the same list twice, on each level.
    """
    value = [number]
    for _ in range(levels):
        value = [value, value]
    return value


def deep(number, levels=50_000):
    """
    Give a value that is nested deeper than Python calls.
    """
    value = [number]
    for _ in range(levels):
        value = [value]
    return value


class Endless(Sequence):
    """
    A sequence that never ends.
    """

    def __iter__(self):
        while True:
            yield 1

    def __len__(self):
        return 2**62

    def __getitem__(self, index):
        return 1


class EndlessNames(Mapping):
    """
    A mapping whose names never end.
    """

    def __iter__(self):
        number = 0
        while True:
            yield (number := number + 1)

    def __len__(self):
        return 2**62

    def __getitem__(self, name):
        return 1


def test_values_that_refer_to_themselves():
    """
    Values that hold themselves are compared to the end, and differ where they do.
    """
    assert places(circle(1), circle(1)) == []
    assert places(circle(1), circle(2)) == ["left.number"]
    one, other = [], []
    one.append(one)
    other.append(other)
    assert places(one, other) == []


def test_each_pair_once():
    """
    Lists that share their parts take as long as they have parts, not as long as they have paths.
    """
    budget = Budget(10 * BREATH)

    assert places(shared(1), shared(1), budget=budget) == []
    assert places(shared(1), shared(2), budget=budget) == [".".join("0" * 201)]


def test_what_is_nested_deeply():
    """
    Depth is bounded by the budget alone.
    """
    assert places(deep(1), deep(1)) == []
    assert len(places(deep(1), deep(2))) == 1


@pytest.mark.parametrize(
    "pair", [(Endless(), Endless()), (EndlessNames(), EndlessNames()), ([1] * 10**6, [1.0] * 10**6)]
)
def test_beyond_the_budget(pair):
    """
    What is larger than the budget is not compared, and is no match.
    """
    with pytest.raises(NotComparable, match="more than 10,000 parts"):
        next(Walk((), Budget(10_000)).differences({"a": pair[0]}, {"a": pair[1]}), None)


def test_a_difference_outlasts_the_budget():
    """
    Where a difference was found before the budget was used up, the answers differ.
    """
    old, new = [1, *range(100_000)], [2, *range(100_000)]

    found = compare_answers(Answer(old), Answer(new), None, (), Budget(10_000))

    assert (found.verdict, [one.path for one in found.differences]) == (Verdict.MISMATCH, ["0"])


def test_pauses():
    """
    A walk pauses every so many parts, and what the pause raises ends it.
    """
    pauses = []
    long = [list(range(10 * BREATH)) for _ in range(2)]
    assert places(*long, budget=Budget(pause=lambda: pauses.append(1))) == []
    assert len(pauses) == 10

    def over():
        raise NotComparable("the time is over")

    with pytest.raises(NotComparable, match="the time is over"):
        places(*long, budget=Budget(pause=over))


def test_no_long_collection_of_garbage():
    """
    A walk keeps no object for each pair that the interpreter would search for garbage, while all threads wait.
    """
    old, new = ([{"id": [number]} for number in range(20 * BREATH)] for _ in range(2))
    tracked = []
    gc.collect()
    before = len(gc.get_objects())

    assert places(old, new, budget=Budget(pause=lambda: tracked.append(len(gc.get_objects())))) == []

    assert max(tracked) - before < BREATH


def test_a_pair_that_may_differ_at_one_place():
    """
    A pair that stands at two places, at one of which it may differ, is looked at where it may not.
    """
    old, new = Plain(rank=1), Plain(rank=2)

    assert places({"a": old, "items": [old]}, {"a": new, "items": [new]}, ("a.rank",)) == ["items.0.rank"]
    assert places({"items": [old], "a": old}, {"items": [new], "a": new}, ("items.*.rank",)) == ["a.rank"]


def test_what_may_differ_is_told_from_what_does():
    """
    Answers whose ignored parts are the same match; parts that cannot be compared count as different.
    """
    assert _verdict({"took": [1]}, {"took": [1]}) is Verdict.MATCH
    assert _verdict({"took": [1]}, {"took": [2]}) is Verdict.IGNORED
    assert _verdict({"took": iter([1])}, {"took": iter([1])}) is Verdict.IGNORED


def _verdict(old, new):
    return compare_answers(Answer(old), Answer(new), None, ("took",)).verdict


NAMES = st.sampled_from(["a", "b", "items", "c.d"])
trees = st.recursive(st.integers(0, 2), lambda parts: st.dictionaries(NAMES, parts, max_size=3), max_leaves=10)


@given(trees, trees, st.lists(st.sampled_from(["a", "items.*", "b.a", "*.*.c", "d"]), max_size=3))
def test_patterns_on_the_way(old, new, patterns):
    """
    What is passed by on the way is what the patterns name in the whole path.
    """
    assert places(old, new, patterns) == [path for path in places(old, new) if not is_ignored(path, patterns)]


class Sizeless(Sequence):
    """
    A sequence that raises when it is asked anything.
    """

    def __len__(self):
        raise ZeroDivisionError

    __iter__ = __getitem__ = __len__


def test_what_the_values_raise():
    """
    What a value's own methods raise is for the caller, and is no verdict.
    """
    with pytest.raises(ZeroDivisionError):
        compare_answers(Answer([Sizeless()]), Answer([Sizeless()]), None, ())


def test_compare_decides_on_what_is_open():
    """
    What `compare` calls the same matches, also where the rule compares nothing.
    """
    assert compare_answers(Answer(iter([1])), Answer(iter([2])), lambda *_: True, ()) == Comparison(Verdict.MATCH)
    assert compare_answers(Answer(iter([1])), Answer(iter([2])), lambda *_: False, ()) == Comparison(Verdict.MISMATCH)
