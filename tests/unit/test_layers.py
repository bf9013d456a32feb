"""
What the core may import: a pure centre has no clock, no threads, no network and no chance.
"""

import ast
import sys
from pathlib import Path

import grimp
import pytest

import cutover.core

CORE = Path(cutover.core.__file__).parent
MODULES = sorted(CORE.rglob("*.py"))
ALLOWED = {"attrs", "mmh3", "cutover.core", "cutover.errors"}
IMPURE = {
    *("time", "threading", "_thread", "asyncio", "concurrent", "multiprocessing", "subprocess", "signal"),
    *("socket", "ssl", "http", "urllib", "select", "selectors", "sqlite3", "random", "secrets", "uuid"),
    *("logging", "warnings", "tempfile", "shutil", "sched", "queue", "importlib", "ctypes", "sys"),
}
CLOCKS = {"now", "utcnow", "today", "getenv", "environ", "urandom"}


def imported(tree: ast.AST) -> set[str]:
    """
    Name every module that a piece of source imports, wherever in it.
    """
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "the core imports by full names"
            names.add(node.module)
    return names


def test_there_is_a_core():
    """
    The walk below finds the modules that it is about.
    """
    assert {"bucketing.py", "decide.py", "ledger.py", "snapshot.py"} <= {path.name for path in MODULES}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.name)
def test_imports(path):
    """
    The core imports itself, the errors, attrs, mmh3 and the pure part of the standard library.
    """
    for name in imported(ast.parse(path.read_text())):
        top = name.partition(".")[0]
        standard = top in sys.stdlib_module_names and top not in IMPURE
        ours = name in ALLOWED or name.startswith("cutover.core.")

        assert standard or ours, f"{path.name} imports {name}"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.name)
def test_no_clock(path):
    """
    The core asks nobody for the time, the environment or chance: they come in as arguments.
    """
    asked = {node.attr for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Attribute)}

    assert not asked & CLOCKS


def test_chance_is_our_own():
    """
    One module asks `random`, and not for the generator of the application, which may seed it.
    """
    asking = [path.name for path in CORE.parent.rglob("*.py") if "random" in imported(ast.parse(path.read_text()))]

    assert asking == ["chance.py"]


def circles(graph):
    """
    Give the sets of modules that import each other, directly or through others.
    """
    after = {module: graph.find_downstream_modules(module) for module in graph.modules}
    return {
        frozenset({module, *(other for other in importers if module in after[other])})
        for module, importers in after.items()
        if module in importers or any(module in after[other] for other in importers)
    }


def test_no_new_circles():
    """
    Modules do not import each other in circles, but for a flow and what is made from it.
    """
    found = circles(grimp.build_graph("cutover", cache_dir=None))

    assert all(any(module == "cutover.router.flow" for module in circle) for circle in found), found
