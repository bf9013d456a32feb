"""
Effects are JSON Merge Patches.
"""

from copy import deepcopy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cutover.core.merge import difference, merge

leaves = st.booleans() | st.integers(0, 3) | st.sampled_from("ab")
names = st.sampled_from("abc")
without_null = st.dictionaries(
    names,
    st.recursive(leaves | st.lists(leaves, max_size=2), lambda inner: st.dictionaries(names, inner, max_size=3)),
    max_size=3,
)
patches = st.dictionaries(
    names, st.recursive(leaves | st.none(), lambda inner: st.dictionaries(names, inner, max_size=3)), max_size=3
)


@given(without_null, without_null)
def test_round_trip(before, after):
    """
    The difference of two states, merged into the first, gives the second.
    """
    assert after == merge(before, difference(before, after))


@given(without_null)
def test_no_difference(state):
    """
    A state differs from itself by nothing.
    """
    assert difference(state, deepcopy(state)) == {}


@given(without_null, without_null)
def test_difference_names_only_what_changed(before, after):
    """
    No effect repeats what held already.
    """
    for name, value in difference(before, after).items():
        assert name not in before or (type(before[name]), before[name]) != (type(value), value)


@given(without_null, patches)
def test_arguments_stay(target, effects):
    """
    Merging changes neither argument.
    """
    copies = deepcopy((target, effects))
    merge(target, effects)

    assert copies == (target, effects)


@given(without_null, patches)
def test_merging_twice(target, effects):
    """
    Effects are absolute: applied again, they change nothing.
    """
    once = merge(target, effects)

    assert once == merge(once, effects)


@pytest.mark.parametrize(
    ("target", "patch", "result"),
    [
        # RFC 7396, appendix A, as far as both sides are objects.
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
        # RFC 7396, section 1.
        (
            {
                "title": "Goodbye!",
                "author": {"givenName": "John", "familyName": "Doe"},
                "tags": ["example", "sample"],
                "content": "This will be unchanged",
            },
            {
                "title": "Hello!",
                "phoneNumber": "+01-123-456-7890",
                "author": {"familyName": None},
                "tags": ["example"],
            },
            {
                "title": "Hello!",
                "author": {"givenName": "John"},
                "tags": ["example"],
                "content": "This will be unchanged",
                "phoneNumber": "+01-123-456-7890",
            },
        ),
    ],
)
def test_rfc_7396(target, patch, result):
    """
    The examples of RFC 7396 hold.
    """
    assert result == merge(target, patch)


def test_true_is_not_one():
    """
    A number that becomes a boolean is a difference, although Python holds them equal.
    """
    assert difference({"a": 1}, {"a": True}) == {"a": True}
