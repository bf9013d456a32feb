"""
From URLs to stores.
"""

from pathlib import Path

import pytest

from cutover.engines.registry import open_homes, open_store
from cutover.errors import ConfigurationError
from cutover.ports.store import Source, Store


@pytest.mark.parametrize(
    ("url", "shown", "is_store"),
    [
        ("memory:unit", "memory:unit", True),
        ("sqlite:///a/b.db", f"sqlite:///{Path.cwd()}/a/b.db", True),
        ("sqlite:////srv/b.db", "sqlite:////srv/b.db", True),
        ("sqlite:////srv/a@b#c.db", "sqlite:////srv/a@b#c.db", True),
        ("file:a.toml", f"file:{Path.cwd()}/a.toml", False),
        ("file:/srv/a.toml", "file:/srv/a.toml", False),
        ("file:///srv/a.toml", "file:/srv/a.toml", False),
    ],
)
def test_known_schemes(url, shown, is_store):
    """
    Each scheme opens its own kind, which names itself by an absolute URL, and nothing is looked at.
    """
    opened = open_store(url)

    assert isinstance(opened, Source)
    assert isinstance(opened, Store) is is_store
    assert opened.url == shown
    opened.close()


def test_a_store_passes_through():
    """
    A store object is given back as it is.
    """
    store = open_store("memory:unit")

    assert open_store(store) is store


@pytest.mark.parametrize("url", ["", "cutover.db", "mysql://h/db", "SQLITE:///a.db"])
def test_unknown_scheme(url):
    """
    An unknown scheme is one error that lists those that work.
    """
    with pytest.raises(ConfigurationError) as caught:
        open_store(url)

    assert str(caught.value) == (
        f"the store {url!r} has an unknown scheme; "
        "allowed: memory:NAME, sqlite:///PATH, file:PATH, postgresql://HOST/DATABASE, redis://HOST, rediss://HOST, "
        "http://HOST, https://HOST"
    )


@pytest.mark.parametrize(
    ("url", "allowed"),
    [
        ("sqlite:", "sqlite:///relative/path.db"),
        ("sqlite:a.db", "sqlite:///relative/path.db"),
        ("sqlite://a.db", "sqlite:///relative/path.db"),
        ("sqlite:///", "sqlite:///relative/path.db"),
        ("sqlite:///folder/", "sqlite:///relative/path.db"),
        ("sqlite:///a.db?timeout=5", "without options"),
        ("sqlite:///:memory:", "memory:NAME is the store without a file"),
        ("sqlite:///a\0b", "NUL"),
        ("memory:", "memory:NAME"),
        ("memory://x", "memory:NAME"),
        ("memory:a b", "memory:NAME"),
        ("file:", "file:relative/path"),
        ("file://host/a.toml", "file:relative/path"),
        ("file:///", "file:relative/path"),
        (None, "a URL such as"),
        (42, "a URL such as"),
    ],
)
def test_bad_url(url, allowed):
    """
    A URL that can never work is one error that says what is allowed.
    """
    with pytest.raises(ConfigurationError, match=allowed):
        open_store(url)


def test_errors_show_no_password():
    """
    An error about a URL does not hold its password.
    """
    for url in ("mysql://rina:hunter2@h/db", "sqlite://rina:hunter2@h/db", "memory://rina:hunter2@h"):
        with pytest.raises(ConfigurationError) as caught:
            open_store(url)
        assert "hunter2" not in str(caught.value)


@pytest.fixture
def another_package(tmp_path, monkeypatch):
    """
    Install a package that adds the scheme ``toy`` for stores.
    """
    information = tmp_path / "toy-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: toy\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text("[cutover.store]\ntoy = toy_engine:opened\n")
    (tmp_path / "toy_engine.py").write_text(
        "from cutover.engines.memory.store import MemoryStore\n\n\ndef opened(url):\n    return MemoryStore(url[4:])\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))


@pytest.mark.usefixtures("another_package")
def test_an_engine_of_another_package():
    """
    A package adds an engine by an entry point, whose name is the scheme; errors list it.
    """
    assert open_store("toy:unit").url == "memory:unit"

    with pytest.raises(ConfigurationError, match=r"https://HOST, toy:\.\.\.$"):
        open_store("mysql://h/db")
    with pytest.raises(ConfigurationError, match="cannot keep homes"):
        open_homes("toy:unit")
