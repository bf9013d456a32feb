"""
The rule for what is compared and how, as a table: it is written in `core.comparison` and on the page.
"""

import io
import ipaddress
import math
import re
import sqlite3
import threading
import uuid
import xml.etree.ElementTree as ET
from collections import Counter, OrderedDict, deque
from contextlib import closing
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import flask
import httpx
import numpy as np
import pytest
import requests
import starlette.responses as starlette
from answers import (
    Colour,
    Extended,
    Line,
    Model,
    Order,
    Paid,
    Plain,
    Product,
    Rude,
    SameKey,
    Settled,
    Slotted,
    basket,
    products,
)
from django.http import HttpResponse, JsonResponse, QueryDict, StreamingHttpResponse
from django.utils.functional import SimpleLazyObject

from cutover.core.comparison import NotComparable, differences
from cutover.core.parts import closable, why_open

NOON = datetime(2024, 1, 1, 12, tzinfo=UTC)
NAN = float("nan")


class Pair(NamedTuple):
    """
    A named tuple.
    """

    sku: object
    price: int


def requested(body, *, is_read=True):
    """
    Give a response of requests.
    """
    response = requests.Response()
    response.status_code = 200
    response.headers["Content-Type"] = "text/plain"
    response.raw = io.BytesIO(body)
    return response if not is_read else (response.content, response)[1]


def touched(row):
    """
    Give a row whose computed property was asked for.
    """
    assert row.label
    return row


def loaded_lazily(value):
    """
    Give a lazy object that has been asked.
    """
    lazy = SimpleLazyObject(lambda: value)
    assert lazy.name
    return lazy


def priced(name, number):
    """
    Give an array of one record.
    """
    return np.array([("a", number)], dtype=[("sku", "U9"), (name, float)])


def with_rival(price):
    """
    Give a row with a row that it refers to loaded.
    """
    row = Product(id=1, name="a", price=1)
    row._state.fields_cache["rival"] = Product(id=2, name="b", price=price)
    return row


TABLE = {
    "numbers": [
        (1, 1.0, []),
        (1, np.int64(1), []),
        (Decimal("1.0"), Decimal("1.00"), []),
        (Decimal(1), 1, []),
        (1, 2, [""]),
        (NAN, math.nan, []),
        (NAN, Decimal("nan"), []),
        (NAN, 1.0, [""]),
        (np.float64("nan"), NAN, []),
    ],
    "flags": [
        (True, 1, [""]),
        (False, 0.0, [""]),
        (np.True_, True, []),
        (np.True_, 1, [""]),
        ({"paid": [True]}, {"paid": [1]}, ["paid.0"]),
        ({True: 5}, {1: 5}, ["True", "1"]),
        ({True}, {1}, ["0", "1"]),
        (np.array([True]), np.array([1]), [""]),
    ],
    "texts": [
        ("a", "b", [""]),
        ("a", b"a", [""]),
        (b"a", bytearray(b"a"), []),
        (b"a", memoryview(b"a"), []),
        ("red", Colour.RED, []),
        (None, "", [""]),
    ],
    "values": [
        (NOON, NOON.astimezone(timezone(timedelta(hours=7))), []),
        (NOON, NOON.replace(tzinfo=None), [""]),
        (date(2024, 1, 1), date(2024, 1, 2), [""]),
        (timedelta(1), timedelta(hours=24), []),
        (Paid.YES, Paid.YES, []),
        (Paid.YES, Settled.YES, [""]),
        (Paid.YES, 1, [""]),
        (uuid.UUID(int=1), uuid.UUID(int=2), ["int"]),
        (Path("a"), Path("a"), []),
        (ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("10.0.0.0/8"), []),
        (re.compile("a"), re.compile("a"), []),
        (partial(int, "1"), partial(int, "1"), []),
        (partial(int, "1"), partial(int, "2"), ["args.0"]),
        (Order, Line, [""]),
    ],
    "arrays": [
        (np.array([1.0, NAN]), np.array([1.0, NAN]), []),
        (np.array([1, 2]), np.array([1.0, 2.0]), []),
        (np.array([1, 2]), np.array([1, 3]), [""]),
        (np.array([1, 2]), np.array([[1, 2]]), [""]),
        (np.array([1, "a", True], dtype=object), np.array([1, "a", 1], dtype=object), ["2"]),
        ({"rows": np.zeros(3)}, {"rows": np.ones(3)}, ["rows"]),
        (priced("price", NAN), priced("price", NAN), []),
        (priced("price", 1), priced("price", 2), ["price"]),
        (priced("price", 1)[0], priced("price", 2)[0], ["price"]),
        (priced("price", 1), priced("rank", 1), ["price", "rank"]),
    ],
    "mappings and sequences": [
        ((1, 2), [1, 2], []),
        (deque([1]), [1], []),
        ([1], [1, 2], ["1"]),
        ({"a": 1}.values(), {"a": 2}.values(), ["0"]),
        ({"a": 1, "b": 2}, OrderedDict(b=2, a=1), []),
        (Counter("a"), {"a": 1}, []),
        ({NAN: 1}, {math.nan: 1}, []),
        ({1: "a"}, {"1": "a"}, ["1", "1"]),
        (range(2**40), range(2**40), []),
        (range(2**40), range(2**41), [""]),
        (range(3), [0, 1, 2], []),
        (Pair("a", 1), Pair("a", 2), ["price"]),
        (Pair("a", 1), ("a", 1), []),
        (QueryDict("a=1&a=2"), QueryDict("a=3&a=2"), ["a.0"]),
        ({"a": [1]}.items(), {"a": [2]}.items(), ["a.0"]),
    ],
    "names that are no text": [
        ({(True, 1): "a"}, {(1, 1): "a"}, ["?", "?"]),
        ({(NAN, 1): "a"}, {(math.nan, 1): "a"}, []),
        ({NAN: "a"}, {"nan": "a"}, ["nan", "nan"]),
        ({frozenset({True}): "a"}, {frozenset({1}): "a"}, ["?", "?"]),
        ({Paid.YES: 1}, {Paid.YES: 2}, ["Paid.YES"]),
        ({SameKey(key=1, price=1): "a"}, {SameKey(key=1, price=1): "a"}, []),
        ({SameKey(key=1, price=1): "a"}, {SameKey(key=1, price=2): "a"}, ["?.price"]),
        ({Plain(a=1): "a"}, {Plain(a=1): "b"}, ["?"]),
        ({Plain(a=1): "a"}, {Plain(a=2): "a"}, ["?", "?"]),
    ],
    "sets": [
        ({1, 2}, frozenset({2, 1}), []),
        ({1, 2}, {1, 3}, ["1", "2"]),
        ({NAN}, {math.nan}, []),
        ({SameKey(key=1, price=1)}, {SameKey(key=1, price=2)}, ["0.price"]),
        ({Plain(a=1), Plain(a=2)}, {Plain(a=2), Plain(a=1)}, []),
        ({Plain(a=1), Plain(a=2)}, {Plain(a=2), Plain(a=3)}, ["0", "1"]),
    ],
    "objects": [
        (Plain(a=1), Plain(a=1), []),
        (Plain(a=1), Plain(a=2), ["a"]),
        (Plain(a=1), Plain(), ["a"]),
        (Plain(a=1), SimpleNamespace(a=1), [""]),
        (SimpleNamespace(a=Plain(b=1)), SimpleNamespace(a=Plain(b=2)), ["a.b"]),
        (Slotted(1), Slotted(1), []),
        (Slotted(1, rank=1), Slotted(1, rank=2), ["_rank"]),
        (SameKey(key=1, price=1), SameKey(key=1, price=2), ["price"]),
        (Rude(price=1), Rude(price=1), []),
        (Rude(price=1), Rude(price=2), ["price"]),
        (Model(total=1, more=1), Model(total=1, more=2), ["more"]),
        (Model(total=1), Model.model_validate({"total": 1, "took_ms": 0}), []),
        (KeyError("a"), KeyError("a"), []),
        (KeyError("a"), KeyError("b"), ["args.0"]),
        (KeyError("a"), LookupError("a"), [""]),
        (ET.fromstring("<a><b>1</b></a>"), ET.fromstring("<a><b>2</b></a>"), ["children.0.text"]),
        (ET.fromstring("<a><b>1</b></a>"), ET.fromstring("<a><b>1</b></a>"), []),
        (Order(1), Line(1), [""]),
    ],
    "fields that are not compared": [
        (Order(1, "x"), Order(1, "y"), []),
        ((Order(1, "x"),), (Order(1, "y"),), []),
        ({"a": [Order(1, "x")]}, {"a": [Order(2, "y")]}, ["a.0.total"]),
        (Order(1, name="A"), Order(1, name="a"), []),
        (Order(1, name="A"), Order(1, name="b"), ["name"]),
        ([Line(1, 2)], [Line(1, 3)], []),
        ((Line(1, 2),), (Line(1, 3),), []),
        (Line(1, 2), Line(2, 3), ["name"]),
        (Extended(1, 2, more=3), Extended(1, 3, more=3), []),
        (Extended(1, more=3), Extended(1, more=4), ["more"]),
    ],
    "rows": [
        (Product(id=1, name="a", price=1), Product(id=1, name="a", price=1), []),
        (Product(id=1, name="a", price=1), Product(id=1, name="b", price=1), ["name"]),
        (touched(Product(id=1, name="a", price=1)), Product(id=1, name="a", price=1), []),
        (with_rival(1), with_rival(1), []),
        (with_rival(1), with_rival(2), ["rival.price"]),
        (basket(), basket(), []),
        (basket(), basket("user-2"), ["owner"]),
        (basket(loaded=True), basket(), []),
        (basket(loaded=True), basket(price=6, loaded=True), ["items.0.price"]),
        (loaded_lazily(Plain(name="a")), Plain(name="a"), []),
    ],
    "responses": [
        (httpx.Response(200, content=b"a"), httpx.Response(200, content=b"a"), []),
        (httpx.Response(200, content=b"a"), httpx.Response(201, content=b"b"), ["status", "body"]),
        (httpx.Response(200, json={"a": 1, "b": 2}), httpx.Response(200, content=b'{"b": 2, "a": 3}'), ["body.a"]),
        (httpx.Response(200, headers={"x": "1"}), httpx.Response(200, headers={"x": "2"}), []),
        (httpx.Response(200, content=b' {"a": 1}'), httpx.Response(200, content=b'{"a":1}\n'), []),
        (requested(b"a"), httpx.Response(200, content=b"a"), []),
        (requested(b"a"), requested(b"b"), ["body"]),
        (HttpResponse("a"), HttpResponse("a"), []),
        (HttpResponse("a"), HttpResponse("a", status=404), ["status"]),
        (JsonResponse({"a": [1]}), JsonResponse({"a": [2]}), ["body.a.0"]),
        (starlette.Response("a"), starlette.Response("b"), ["body"]),
        (starlette.JSONResponse({"a": 1}), JsonResponse({"a": 1}), []),
        (flask.Response("a"), flask.Response("a"), []),
        (flask.Response("a"), flask.Response("b", 500), ["status", "body"]),
    ],
}
CASES = [(sort, *case) for sort, cases in TABLE.items() for case in cases]


@pytest.mark.parametrize(("sort", "old", "new", "paths"), CASES, ids=lambda value: value if type(value) is str else "")
def test_the_rule(sort, old, new, paths):
    """
    Values differ exactly at these places, and the other way round at as many.
    """
    assert [difference.path for difference in differences(old, new)] == paths
    assert len(list(differences(new, old))) == len(paths)


IGNORED = [
    (Model(total=1, took_ms=1), Model(total=1, took_ms=2)),
    (SimpleNamespace(took_ms=1), SimpleNamespace(took_ms=2)),
    ({"items": [Plain(took_ms=1)]}, {"items": [Plain(took_ms=2)]}),
    (Pair(SimpleNamespace(took_ms=threading.Lock()), 1), Pair(SimpleNamespace(took_ms=threading.Lock()), 1)),
    (httpx.Response(200, json={"took_ms": 1}), httpx.Response(200, json={"took_ms": 2})),
]


@pytest.mark.parametrize(("old", "new"), IGNORED)
def test_fields_that_may_differ(old, new):
    """
    A field that may differ is passed by in whatever it stands.
    """
    assert [difference.path for difference in differences(old, new, ("took_ms",))] == []
    assert why_open(old) == ""


@pytest.fixture
def database():
    """
    A database that is closed at the end.
    """
    with closing(sqlite3.connect(":memory:")) as connection:
        yield connection


async def numbers():
    """
    Give one number later.
    """
    yield 1


OPEN = {
    "generator": lambda database: (number for number in range(3)),
    "iterator": lambda database: iter([1]),
    "async generator": lambda database: numbers(),
    "file": lambda database: io.BytesIO(b"a"),
    "cursor": lambda database: database.execute("select 1"),
    "httpx": lambda database: httpx.Response(200, content=iter([b"a"])),
    "requests": lambda database: requested(b"a", is_read=False),
    "Django": lambda database: StreamingHttpResponse(iter(["a"])),
    "Starlette": lambda database: starlette.StreamingResponse(iter("a")),
    "Flask": lambda database: flask.Response(iter("a")),
    "query": lambda database: products({"name": "a", "price": 1}),
    "raw query": lambda database: Product.objects.raw("select * from shop_product"),
}


@pytest.mark.parametrize("make", OPEN.values(), ids=OPEN)
def test_what_is_open(make, database):
    """
    What is read only once, or was not asked yet, is not compared, wherever it stands; it is not used up by that.
    """
    one, other = make(database), make(database)

    for old, new in ((one, other), (other, one), ({"rows": [one]}, {"rows": [other]}), (one, [1])):
        with pytest.raises(NotComparable, match=r"is read only once|was not asked yet"):
            list(differences(old, new))
    assert why_open(one)
    if hasattr(one, "__next__"):
        assert next(one) is not None


def test_a_query_that_was_asked():
    """
    A query of Django is compared by its rows once the application has read them.
    """
    query = products({"name": "a", "price": 1})
    assert len(query) == 1

    assert list(differences(query, [Product(id=1, name="a", price=1)])) == []
    assert [one.path for one in differences(query, [Product(id=1, name="a", price=2)])] == ["0.price"]


def test_columns_that_one_has_not_loaded():
    """
    A row is compared by the columns that both have loaded, and no column is loaded for it.
    """
    query = products({"name": "a", "price": 1})
    row, part = query.get(), query.only("name").get()

    assert list(differences(row, part)) == []
    assert "price" not in vars(part)
    assert [one.path for one in differences(query.extra(select={"more": "1"}).get(), row)] == ["more"]


NEITHER = [(threading.Lock(), threading.Lock()), (object(), object()), (lambda: 1, lambda: 1)]


@pytest.mark.parametrize(("old", "new"), NEITHER)
def test_what_has_nothing_to_compare(old, new):
    """
    An object that is equal to nothing but itself, and has no fields, is not compared with another one.
    """
    with pytest.raises(NotComparable, match="neither fields nor a comparison of its own"):
        list(differences({"a": old}, {"a": new}))
    assert list(differences({"a": old}, {"a": old})) == []


def test_what_can_be_closed():
    """
    What is open in containers and declared fields is found to be closed. Of what other objects hold, responses are.
    """
    one, other, response = io.BytesIO(), io.BytesIO(), httpx.Response(200, content=iter([b"a"]))
    held = Plain(connection=io.BytesIO(), response=response)

    found = list(closable({"rows": [Order(one), (SimpleNamespace(body=other), held)], "names": "text"}))

    assert {id(part) for part in found} == {id(one), id(other), id(response)}
