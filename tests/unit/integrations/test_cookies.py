"""
Cookies are found among whatever a client sends, and written so that a browser understands them.
"""

from http.cookies import SimpleCookie

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cutover.integrations.cookies import MOST, cookie_line, cookies_named

NAME = "cutover-purchase"
VALUES = st.text("abcXYZ019-_.", min_size=1, max_size=40)
OTHERS = st.text("abc=-_. \t\"'\\\0\xff", max_size=30)


@given(
    values=st.lists(VALUES, max_size=MOST),
    others=st.lists(OTHERS, min_size=1),
    separator=st.sampled_from(["; ", ";", ", "]),
)
def test_found(values, others, separator):
    """
    Every value of the name is found, in the order in which they came, whatever stands between them.
    """
    parts = [part for value in values for part in (*others, f"{NAME}={value}")]

    assert cookies_named(NAME, [separator.join([*parts, *others])]) == values


@given(headers=st.lists(st.text(max_size=200), max_size=4))
def test_any_header(headers):
    """
    No header is an error.
    """
    found = cookies_named(NAME, [*headers, f"{NAME}=token"])

    assert found[-1] == "token" or len(found) == MOST


@pytest.mark.parametrize("header", [f"x{NAME}=a", f"{NAME}x=a", f"x={NAME}=a", f"{NAME.upper()}=a", NAME, f"x{NAME}"])
def test_other_names(header):
    """
    A cookie whose name only resembles ours is another one.
    """
    assert cookies_named(NAME, [header]) == []


def test_several_headers():
    """
    HTTP/2 may send a header for each cookie; and a proxy may put quotes around a value.
    """
    assert cookies_named(NAME, ["a=b", f"{NAME}=one", f'c=d; {NAME}="two"; e=f']) == ["one", "two"]


def test_many():
    """
    A client that sends a megabyte of cookies of one name makes nobody verify more than a few.
    """
    assert cookies_named(NAME, [f"{NAME}=x; " * 50_000]) == ["x"] * MOST


@given(value=VALUES, seconds=st.integers(0, 10**8))
def test_line(value, seconds):
    """
    The standard library reads back what is written.
    """
    read = SimpleCookie(cookie_line(NAME, value, seconds, "; Path=/shop; Secure; HttpOnly; SameSite=Lax"))

    assert read[NAME].value == value
    assert read[NAME]["max-age"] == str(seconds)
    assert (read[NAME]["path"], read[NAME]["samesite"]) == ("/shop", "Lax")
    assert read[NAME]["secure"] is True
    assert read[NAME]["httponly"] is True
