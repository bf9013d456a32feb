"""
The public surface: which names there are, and what importing them costs and does.
"""

import inspect
import re
import subprocess
import sys

import pytest
from pages import ROOT

import cutover
import cutover.testing

NAMES = {
    *("Backend", "Decision", "Flow", "Migration", "Reason", "Router", "connect", "control", "__version__"),
    *("Change", "Control", "Homes", "Journey", "Request", "Snapshot", "Visit", "homes"),
    *("CutoverError", "ConfigurationError", "Conflict", "Refused", "OutcomeUnknown"),
    *("StoreError", "Unavailable", "Corrupt"),
}
EXTRAS = ("click", "rich", "pytest", "hypothesis", "gunicorn")
CHECKS = {
    "no extras": f"import sys\nfor name in {EXTRAS!r}: sys.modules[name] = None\n"
    "import cutover\nassert cutover.connect and cutover.control and cutover.homes",
    "no thread": "import threading, cutover\ncutover.control\nassert threading.active_count() == 1",
    "no log set-up": "import structlog, cutover\ncutover.control\nassert not structlog.is_configured()",
    "no file": "import sys\nsys.addaudithook(lambda event, args: event == 'open' and isinstance(args[1], str) and "
    "set(args[1]) & set('wax+') and sys.exit(f'{args[0]} is written'))\n"
    "sys.dont_write_bytecode = True\nimport cutover\ncutover.control",
    "no operators' side": "import sys, cutover\nassert 'cutover.operations' not in sys.modules",
    "no homes": "import sys, cutover\nassert 'cutover.claims' not in sys.modules",
}


def python(code):
    """
    Run a piece of code in an interpreter of its own.
    """
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=60, check=False
    )


def test_names():
    """
    The package exports the names of the contract, sorted, and each of them is there.
    """
    assert set(cutover.__all__) == NAMES
    assert list(cutover.__all__) == sorted(cutover.__all__)
    assert all(getattr(cutover, name) is not None for name in cutover.__all__)


def test_listed_names():
    """
    `dir`, which editors and prompts complete from, lists every exported name, loaded or not.
    """
    done = python(
        "import cutover, cutover.testing\nfor m in (cutover, cutover.testing): assert {*m.__all__} <= {*dir(m)}"
    )

    assert done.returncode == 0, done.stderr


def test_described_names():
    """
    The page of the API describes every exported name, and every exported name has a docstring.
    """
    page = (ROOT / "docs/reference/api.md").read_text()
    described = {*re.findall(r"^.. auto\w+:: cutover\.(?:testing\.)?(\w+)(?:\(\))?$", page, re.MULTILINE)}
    exported = {*cutover.__all__, "TestRouter", "router"} - {"__version__"}

    assert described == exported
    assert all(inspect.getdoc(getattr(cutover, name)) for name in cutover.__all__)


def test_route_is_described():
    """
    `Flow.route`, which each flow makes for itself, has the signature and the docstring of a method.
    """
    pay = cutover.testing.router(pay="new").flow("pay")
    route, decide = pay.route, inspect.signature(pay.decide)

    assert inspect.signature(route) == decide.replace(return_annotation=cutover.Backend)
    assert "Args:" in inspect.getdoc(route)
    assert inspect.getdoc(cutover.Flow.route) == inspect.getdoc(route)


def test_star_import():
    """
    A star import gives exactly the exported names.
    """
    namespace = {}
    exec("from cutover import *", namespace)
    namespace.pop("__builtins__")

    assert set(namespace) == NAMES


def test_names_for_tests():
    """
    Every name that the testing package exports is there.
    """
    assert all(getattr(cutover.testing, name) is not None for name in cutover.testing.__all__)


def test_handles_show_what_they_are():
    """
    The `repr` of a handle names what it is for, and neither a user's key nor a password.
    """
    router = cutover.testing.router(pay="new")
    request = router.flow("pay").request("rina@example")
    with request:
        shown = [repr(request)]
    with (
        cutover.homes("postgresql://shop:secret@db/shop", migration="shop") as homes,
        cutover.control("memory:shown", actor="rina", migration="shop") as control,
    ):
        shown += map(repr, (router.flow("pay").request("u"), homes, control, router, router.flow("pay")))
        shown += [repr(router.journey("purchase").enter("rina@example"))]

    assert shown == [
        "<Request 'pay', on new>",
        "<Request 'pay', not decided>",
        "<Homes at postgresql://db/shop>",
        "<Control of memory:shown>",
        "<TestRouter with test 1:000000000000>",
        "<Flow 'pay', version 1>",
        "<Visit 'purchase' on old>",
    ]


def test_unknown_name():
    """
    A name that the package does not have is an AttributeError that says which.
    """
    with pytest.raises(AttributeError, match="no attribute 'contrl'"):
        cutover.contrl  # noqa: B018 - the access is the test


@pytest.mark.parametrize("code", CHECKS.values(), ids=CHECKS)
def test_import(code):
    """
    Importing needs no extra, starts no thread, configures no log, writes no file and leaves out the operators' side.
    """
    done = python(code)

    assert done.returncode == 0, done.stderr
