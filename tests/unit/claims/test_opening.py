"""
From URLs to homes.
"""

import subprocess
import sys

import pytest

from cutover.claims.homes import homes
from cutover.errors import ConfigurationError

ALLOWED = "memory:NAME, sqlite:///PATH, postgresql://HOST/DATABASE, redis://HOST, rediss://HOST"


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch):
    for name in ("CUTOVER_HOMES", "CUTOVER_MIGRATION"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("url", ["mysql://h/db", "http://relay", "https://u:pw@relay", "file:a.toml", "homes.db"])
def test_places_that_keep_no_homes(url):
    """
    A URL that cannot keep homes is one error that lists those that can, and shows no password.
    """
    with pytest.raises(ConfigurationError) as caught:
        homes(url)

    assert str(caught.value).endswith(f"cannot keep homes; allowed: {ALLOWED}")
    assert "pw" not in str(caught.value)


@pytest.mark.parametrize("url", ["sqlite://a.db", "sqlite:///", "memory:", "redis://", "postgresql://u@p@h/d", 7])
def test_bad_urls(url):
    """
    A URL that can never work is an error when homes are opened.
    """
    with pytest.raises(ConfigurationError, match="allowed: "):
        homes(url)


def test_a_schema_that_is_too_long():
    """
    A schema whose name leaves no room for that of the homes is refused: PostgreSQL would cut it.
    """
    homes(f"postgresql://h/d?schema={'x' * 57}").close()
    with pytest.raises(ConfigurationError, match="allowed: up to 57 characters"):
        homes(f"postgresql://h/d?schema={'x' * 58}")


@pytest.mark.parametrize("name", ["Shop", "a b", "it's", 7])
def test_bad_names(name):
    """
    A name that no migration can have is an error when homes are opened.
    """
    with pytest.raises(ConfigurationError, match=r"^migration is "):
        homes("memory:unit", migration=name)


def test_the_environment(monkeypatch):
    """
    Place and migration come from the environment where they are left out; without a place there is nothing to open.
    """
    with pytest.raises(ConfigurationError, match=r"^no place is given; allowed: .*CUTOVER_HOMES"):
        homes()
    monkeypatch.setenv("CUTOVER_HOMES", "memory:from-the-environment")
    monkeypatch.setenv("CUTOVER_MIGRATION", "shop")

    with homes() as opened, homes("memory:given", migration="other") as given:
        assert (opened.url, opened.migration) == ("memory:from-the-environment", "shop")
        assert (given.url, given.migration) == ("memory:given", "other")


@pytest.mark.parametrize(
    ("url", "module", "extra"), [("postgresql://h/d", "psycopg", "postgres"), ("redis://h", "redis", "redis")]
)
def test_a_missing_extra(url, module, extra):
    """
    Where the driver is missing, the error names the extra to install.
    """
    code = f"import sys; sys.modules[{module!r}] = None; import cutover; cutover.homes({url!r})"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)

    assert f"pip install 'cutover-controller[{extra}]'" in done.stderr
    assert "ConfigurationError" in done.stderr


def test_nothing_is_done_when_homes_are_opened(tmp_path):
    """
    Opening creates no file, and connects to nobody.
    """
    homes(f"sqlite:///{tmp_path}/homes.db").close()
    homes("postgresql://127.0.0.1:1/nowhere").close()
    homes("redis://127.0.0.1:1").close()

    assert list(tmp_path.iterdir()) == []
