"""
What two back ends answered to the same question, compared.
"""

import copy
import math
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cutover.core.comparison import (
    ABSENT,
    LONGEST_TEXT,
    MOST_DIFFERENCES,
    Comparison,
    Difference,
    compare_answers,
    differences,
    is_ignored,
    shown,
    structure_of,
)
from cutover.core.verdict import Answer, Mismatch, Verdict

NAMES = st.sampled_from(["a", "b", "items", "updated_at", "rank"])
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda parts: st.lists(parts, max_size=3) | st.dictionaries(NAMES, parts, max_size=3),
    max_leaves=12,
)


def _sorts(value):
    """
    Give a value with the types that `==` does not tell apart written out, and NaN equal to itself.
    """
    if isinstance(value, dict):
        return {name: _sorts(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_sorts(part) for part in value]
    return "nan" if isinstance(value, float) and math.isnan(value) else (isinstance(value, bool), value)


@given(values)
def test_a_copy_matches(value):
    """
    A value matches a copy of itself, whatever it is made of.
    """
    assert list(differences(value, copy.deepcopy(value))) == []
    assert compare_answers(Answer(value), Answer(copy.deepcopy(value)), None, ()) == Comparison(Verdict.MATCH)


@given(values, values)
def test_they_differ_where_they_are_not_equal(old, new):
    """
    There is a difference exactly where the two are not equal, and the other way round the same places differ.
    """
    found, turned = list(differences(old, new)), list(differences(new, old))

    assert bool(found) is (_sorts(old) != _sorts(new))
    assert {(d.path, repr(d.old), repr(d.new)) for d in found} == {(d.path, repr(d.new), repr(d.old)) for d in turned}


@given(values, st.data())
def test_a_difference_is_found_where_it_is(value, data):
    """
    One part that is changed is found at its path, and nothing else is.
    """
    changed, path = copy.deepcopy({"value": value}), ["value"]
    holder = changed
    while isinstance(holder[path[-1]], dict | list) and holder[path[-1]] and data.draw(st.booleans()):
        holder = holder[path[-1]]
        path.append(data.draw(st.sampled_from(range(len(holder)) if isinstance(holder, list) else sorted(holder))))
    old, holder[path[-1]] = holder[path[-1]], "changed to this"

    found = list(differences({"value": value}, changed))

    assert [(d.path, repr(d.old), d.new) for d in found] == [(".".join(map(str, path)), repr(old), "changed to this")]


@given(st.lists(NAMES | st.integers(0, 9).map(str), min_size=1, max_size=5), st.data())
def test_patterns(names, data):
    """
    A pattern ignores a place if its names stand in the path in a row; `*` stands for any one of them.
    """
    path = ".".join(names)
    start = data.draw(st.integers(0, len(names) - 1))
    part = names[start : data.draw(st.integers(start + 1, len(names)))]
    starred = [data.draw(st.sampled_from([name, "*"])) for name in part]

    assert is_ignored(path, [".".join(starred)])
    assert not is_ignored(path, [f"{path}.more"])
    assert not is_ignored(path, ["nowhere", ".".join([*part, "nowhere"])])
    assert not is_ignored(path, [])


@given(values, values, st.lists(NAMES, max_size=3))
def test_ignored_only_where_all_is(old, new, patterns):
    """
    Answers count as ignored only where they differ, and in nothing but what may differ; what may is shown nowhere.
    """
    found = compare_answers(Answer(old), Answer(new), None, patterns)
    places = [difference.path for difference in differences(old, new)]
    wrong = [path for path in places if not is_ignored(path, patterns)]
    expected = Verdict.MISMATCH
    if not places:
        expected = Verdict.MATCH
    elif not wrong:
        expected = Verdict.IGNORED

    assert found.verdict is expected
    assert [difference.path for difference in found.differences] == wrong


def test_much_that_may_differ_hides_nothing():
    """
    However many places differ that may, the one behind them that may not is found, and is the only one shown.
    """
    old = {"items": [{"rank": number} for number in range(2 * MOST_DIFFERENCES)], "total": 1}
    new = {"items": [{"rank": number + 1} for number in range(2 * MOST_DIFFERENCES)], "total": 2}

    found = compare_answers(Answer(old), Answer(new), None, ("rank",))

    assert found == Comparison(Verdict.MISMATCH, (Difference("total", 1, 2),))
    assert compare_answers(Answer(old), Answer(new | {"total": 1}), None, ("rank",)) == Comparison(Verdict.IGNORED)


FAILURES = {
    (True, True): Verdict.BOTH_ERROR,
    (True, False): Verdict.OLD_ERROR,
    (False, True): Verdict.NEW_ERROR,
}


@pytest.mark.parametrize("failed", FAILURES)
@given(old=values, new=values)
def test_failures_are_not_compared(failed, old, new):
    """
    Where a side failed, the verdict says which, whatever it returned, and `compare` is not asked.
    """
    answers = Answer(old, None, failed[0]), Answer(new, None, failed[1])

    assert compare_answers(*answers, lambda *_: 1 / 0, ()) == Comparison(FAILURES[failed])


class Declined(Exception):
    """
    Business.
    """


BUSINESS = [
    (Answer(None, Declined("no funds")), Answer(None, Declined("no funds")), Verdict.MATCH),
    (Answer(None, Declined("no funds")), Answer(None, Declined("stolen")), Verdict.MISMATCH),
    (Answer(None, Declined("no")), Answer(None, KeyError("no")), Verdict.MISMATCH),
    (Answer(None, Declined("no")), Answer({"paid": True}), Verdict.MISMATCH),
    (Answer(None), Answer(None, Declined("no")), Verdict.MISMATCH),
]


@pytest.mark.parametrize(("old", "new", "verdict"), BUSINESS)
def test_exceptions_that_are_business(old, new, verdict):
    """
    Two such exceptions match if they are of one type and say the same; `compare` sees values only.
    """
    assert compare_answers(old, new, None, ()).verdict is verdict
    assert compare_answers(old, new, lambda *_: 1 / 0, ()).verdict is verdict


@given(values, values, st.sampled_from([True, False, 1, "", None]))
def test_compare_decides(old, new, said):
    """
    What `compare` calls the same matches; what it does not is a mismatch, unless it may differ.
    """
    found = compare_answers(Answer(old), Answer(new), lambda *_: said, ())

    assert found.verdict is (Verdict.MATCH if said else Verdict.MISMATCH)


@given(st.text() | values)
def test_what_is_shown_is_short(value):
    """
    A redacted value becomes one line of text that can be encoded and is short enough.
    """
    text = shown(value)

    assert len(text) <= LONGEST_TEXT
    assert text == " ".join(text.split())
    assert text.encode().decode() == text


SHAPES = [
    (None, None),
    (True, True),
    (ABSENT, ABSENT),
    ("secret", "text of 6"),
    (b"secret", "bytes of 6"),
    ([1, 2], "list of 2"),
    ({"a": 1}, "dict of 1"),
    (5, "int"),
    (Decimal(5), "Decimal"),
]


@pytest.mark.parametrize(("value", "said"), SHAPES)
def test_of_a_value_only_the_shape(value, said):
    """
    Unless told otherwise only kind and size of a value are shown, and whether it is absent, None, true or false.
    """
    assert structure_of("path", value) == said


texts = st.text(max_size=80).map(lambda text: text.encode("utf-8", "replace").decode())


@given(
    st.builds(
        Mismatch,
        flow=st.sampled_from(["browse", "pay"]),
        at=st.datetimes(min_value=datetime(2020, 1, 1), max_value=datetime(2050, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001 - of the zone beside it
        differences=st.lists(st.tuples(texts, texts, texts), max_size=3).map(tuple),
    )
)
def test_a_mismatch_travels(mismatch):
    """
    A mismatch is read back as it was written.
    """
    assert Mismatch.from_document(mismatch.document()) == mismatch


@pytest.mark.parametrize(
    "change",
    [
        {"flow": 5},
        {"at": "yesterday"},
        {"differences": [["a", "b"]]},
        {"differences": [["a", "b", 5]]},
        {"differences": "abc"},
    ],
)
def test_what_is_no_mismatch(change):
    """
    A document of something else is refused.
    """
    document = Mismatch(flow="pay", at=datetime(2024, 1, 1, tzinfo=UTC), differences=(("a", "b", "c"),)).document()

    with pytest.raises((KeyError, TypeError, ValueError)):
        Mismatch.from_document({**document, **change})
