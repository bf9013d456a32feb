"""
A response that caches may give to several people is known as such.
"""

from datetime import UTC, datetime
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cutover.integrations.caching import is_private, may_be_shared

# Dates that are the same in each run: tests are named by them.
LATER = format_datetime(datetime(9998, 12, 31, tzinfo=UTC), usegmt=True)
EARLIER = format_datetime(datetime(1998, 12, 31, tzinfo=UTC), usegmt=True)
SHARED = [
    {"Cache-Control": "public"},
    {"Cache-Control": "Public, Max-Age=60"},
    {"Cache-Control": "s-maxage=60"},
    {"Cache-Control": "max-age=0, s-maxage=60"},
    {"Cache-Control": "max-age=60"},
    {"Cache-Control": "max-age=60, must-revalidate"},
    {"Cache-Control": "no-cache, public"},
    {"Cache-Control": 'private="x-name", max-age=60'},
    {"Cache-Control": 'no-cache="x-name", max-age=60'},
    {"Expires": LATER},
    {"Expires": LATER, "Cache-Control": "must-revalidate"},
    {"Expires": LATER, "Cache-Control": 'private="x-name"'},
    {"Cache-Control": "max-age=0, stale-while-revalidate=60"},
    {"Cache-Control": "stale-if-error=60"},
    {"CDN-Cache-Control": "max-age=60"},
    {"Cloudflare-CDN-Cache-Control": "public", "Cache-Control": "private"},
    {"Surrogate-Control": "max-age=60", "Cache-Control": "no-store"},
    {"X-Accel-Expires": "60"},
]
OWN = [
    {},
    {"Cache-Control": "private"},
    {"Cache-Control": "private, max-age=60"},
    {"Cache-Control": "no-store"},
    {"Cache-Control": "no-store, public"},
    {"Cache-Control": "no-cache"},
    {"Cache-Control": "no-cache, max-age=60"},
    {"Cache-Control": "max-age=0"},
    {"Cache-Control": "max-age=0, must-revalidate, no-cache, no-store, private"},
    {"Cache-Control": "private", "Expires": LATER},
    {"Cache-Control": "no-cache", "Expires": LATER},
    {"Cache-Control": "max-age=0", "Expires": LATER},
    {"Cache-Control": "max-age=0, stale-while-revalidate=0"},
    {"Expires": EARLIER},
    {"Expires": "0"},
    {"Expires": "-1"},
    {"Surrogate-Control": 'content="ESI/1.0"'},
    {"Surrogate-Control": "no-store"},
    {"X-Accel-Expires": "0"},
    {"ETag": '"1"', "Last-Modified": EARLIER, "Vary": "Cookie"},
]
DIRECTIVES = st.sampled_from(["no-cache", "max-age=60", "must-revalidate", "immutable", "max-age=0", "x", '"', "=", ""])


@pytest.mark.parametrize("headers", SHARED, ids=str)
def test_shared(headers):
    """
    What says that a cache between server and client may keep it, may be shared.
    """
    assert may_be_shared(200, headers.items())


@pytest.mark.parametrize("headers", OWN, ids=str)
def test_not_shared(headers):
    """
    What forbids that, and what says nothing, counts as not shared.
    """
    assert not may_be_shared(200, headers.items())


@pytest.mark.parametrize("headers", OWN, ids=str)
def test_not_modified(headers):
    """
    A 304 changes the headers of what a cache has stored, whatever it says itself.
    """
    assert may_be_shared(304, headers.items())


@given(around=st.lists(DIRECTIVES), word=st.sampled_from(["public", "s-maxage=1", "private", "no-store"]))
def test_directives(around, word):
    """
    The strongest word counts wherever it stands, in one header or over several.
    """
    shared = word in {"public", "s-maxage=1"}

    assert may_be_shared(200, [("cache-control", ", ".join([*around, word, *around]))]) is shared
    assert may_be_shared(200, [("cache-control", text) for text in (*around, word)]) is shared


@given(headers=st.lists(st.tuples(st.sampled_from(["cache-control", "expires", "surrogate-control"]), st.text())))
def test_any_headers(headers):
    """
    Headers that nobody understands are no error.
    """
    assert may_be_shared(200, headers) in {True, False}


@pytest.mark.parametrize("control", ["private", "no-store", "NO-CACHE, Private", "max-age=60, private"])
def test_private(control):
    """
    What forbids caches between server and client to store a response is known as private, in one header or in several.
    """
    assert is_private([("CACHE-CONTROL", control)])
    assert is_private([("cache-control", "no-transform"), ("cache-control", control)])


@pytest.mark.parametrize("control", ["", "no-cache", "max-age=0, must-revalidate", "no-transform", 'private="x-name"'])
def test_not_private(control):
    """
    Whatever else a response says, a cache may store it, and give it to others after a 304.
    """
    assert not is_private([("Content-Type", "text/html"), ("Expires", "0"), ("Cache-Control", control)])
    assert not is_private([("Content-Type", "private")])
