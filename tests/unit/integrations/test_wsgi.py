"""
What is particular to WSGI: when and how often a response may begin, and what passes as it is.
"""

import sys
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

import pytest
from visitors import shop

from cutover.integrations import visit_of
from cutover.integrations.wsgi import VisitMiddleware

VISIT = "cutover-purchase="


def served(app, **arguments):
    """
    Let an application serve one request behind middleware; give what it returned, and how it began.
    """
    environ = {}
    setup_testing_defaults(environ)
    began = []

    def start_response(*given):
        began.append(given)
        return began.append

    middleware = VisitMiddleware(app, shop().journey("purchase"), key=lambda environ: "user-42", **arguments)
    return middleware(environ, start_response), began


def test_body_passes():
    """
    What the application returns is passed on as the same object, so that a server may send files its own way.
    """
    body = [b"a"]

    def app(environ, start_response):
        visit_of(environ)
        start_response("200 OK", [])
        return body

    assert served(app)[0] is body


def test_response_that_begins_late():
    """
    An application that begins its response with the first piece of its body gives the token all the same.
    """

    def app(environ, start_response):
        visit_of(environ)
        start_response("200 OK", [("X-Own", "1")])
        yield b"a"

    body, began = served(app)
    assert began == []
    assert next(iter(body)) == b"a"
    assert [name for name, _ in began[0][1]] == ["X-Own", "Set-Cookie", "Cache-Control"]


def test_response_that_is_replaced():
    """
    A response that is replaced after an error carries the token too, and the error is handed to the server.
    """

    def app(environ, start_response):
        visit_of(environ)
        start_response("200 OK", [])
        try:
            environ["what is not there"]
        except KeyError:
            start_response("500 Sorry", [("X-Own", "1")], sys.exc_info())
        return []

    first, second = served(app)[1]

    assert len(first) == 2
    assert first[1][0][1].startswith(VISIT)
    assert second[0] == "500 Sorry"
    assert second[1][1] == first[1][0]
    assert second[2][0] is KeyError


def test_headers_of_application():
    """
    The application's own list of headers stays as it is, and is handed on itself where nothing is added.
    """
    headers = [("Cache-Control", "private")]

    def app(environ, start_response):
        if environ["asks"]:
            visit_of(environ)
        start_response("200 OK", headers)
        return []

    asked = served(lambda environ, start: app(environ | {"asks": True}, start))[1]
    silent = served(lambda environ, start: app(environ | {"asks": False}, start))[1]

    assert headers == [("Cache-Control", "private")]
    assert len(asked[0][1]) == 2
    assert silent[0][1] is headers


def test_write():
    """
    The server's function for writing is handed to the application.
    """

    def app(environ, start_response):
        start_response("200 OK", [])(b"written")
        return []

    assert served(app)[1][1] == b"written"


@pytest.mark.parametrize("asks", [True, False])
def test_protocol(asks):
    """
    Between a server and an application that mind the protocol, it is minded on both sides.
    """

    def app(environ, start_response):
        if asks:
            visit_of(environ)
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"a"]

    environ = {"QUERY_STRING": ""}
    setup_testing_defaults(environ)
    began = []
    middleware = VisitMiddleware(validator(app), shop().journey("purchase"), key=lambda environ: "user-42")
    body = validator(middleware)(environ, lambda *given: began.append(given) or began.append)

    assert list(body) == [b"a"]
    body.close()
    assert len(began[0][1]) == (3 if asks else 1)


def test_error():
    """
    An error of the application passes as it is.
    """

    def app(environ, start_response):
        visit_of(environ)
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        served(app)
