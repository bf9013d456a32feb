"""
Guests get ids that are nobody else's, and bring back nothing else as one.
"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cutover.integrations.guests import guest_id_in, new_guest_id

SOMEBODY = "guest-MQtdDxDVg8dQ4jBbwC0SAA"


def test_new():
    """
    An id is found again, and no two are the same.
    """
    ids = {new_guest_id() for _ in range(1000)}

    assert len(ids) == 1000
    assert all(guest_id_in([text]) == text for text in ids)


@given(texts=st.lists(st.text()))
def test_found_among_others(texts):
    """
    Whatever else a client brings is passed over.
    """
    mine = new_guest_id()

    assert guest_id_in([*texts, mine, new_guest_id()]) == mine


@pytest.mark.parametrize("text", ["", "user-42", "42", "guest-", "guest-42", f"{SOMEBODY}=", f"{SOMEBODY}\n"])
def test_not_the_key_of_a_user(text):
    """
    A client cannot choose its key: what was not made here is no id.
    """
    assert guest_id_in([text]) is None
