"""
URLs of PostgreSQL stores.
"""

import subprocess
import sys

import pytest

from cutover.engines.postgresql.url import parse
from cutover.engines.registry import open_store
from cutover.errors import ConfigurationError


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://h/d", "postgresql://h/d"),
        ("postgres://rina:p%40ss%2Fw0rd@h:5433/d", "postgresql://h:5433/d"),
        ("postgresql://h/d?user=rina&password=w0rd&sslmode=require", "postgresql://h/d"),
        ("postgresql://h/d?schema=other&notify=off", "postgresql://h/d?schema=other"),
        ("postgresql://rina:w0rd@a,b:5433/d", "postgresql://a,b:5433/d"),
        ("postgresql://[::1]:5433/d", "postgresql://[::1]:5433/d"),
        ("postgresql://rina:w0rd@%2Frun%2Fpg/d", "postgresql://%2Frun%2Fpg/d"),
        ("postgresql:///d", "postgresql:///d"),
    ],
)
def test_shown_without_credentials(url, shown):
    """
    A store names itself by its place, and nothing that it shows of itself holds a credential.
    """
    store = open_store(url)
    store.close()

    assert store.url == shown
    assert "w0rd" not in repr(store._address)
    assert "rina" not in repr(store._address)


def test_options():
    """
    The store's own options are taken out, those of libpq go through, and go before what the store would set.
    """
    address = parse("postgresql://h/d?schema=other&notify=off&sslmode=verify-full&connect_timeout=7&options=-c%20a%3Db")

    assert (address.schema, address.notify) == ("other", False)
    given = {name: address.parameters[name] for name in ("host", "dbname", "sslmode", "options")}
    assert given == {"host": "h", "dbname": "d", "sslmode": "verify-full", "options": "-c a=b"}
    assert int(address.parameters["connect_timeout"]) == 7
    assert not {"schema", "notify"} & set(address.parameters)


@pytest.mark.parametrize(
    ("url", "allowed"),
    [
        ("postgresql://rina:p/w0rd@h/d", "percent-encoded"),
        ("postgresql://rina:p@w0rd@h/d", "percent-encoded"),
        ("postgresql://rina:p?w0rd@h/d", "percent-encoded"),
        ("postgresql://rina:%zzw0rd@h/d", "percent-encoded"),
        ("postgresql://h/d?nonsense=w0rd", "options of libpq"),
        ("postgresql://h:w0rd/d", "no number below 65536"),
        ("postgresql://h:65536/d", "no number below 65536"),
        ("postgresql://a:5432,b:0/d", "no number below 65536"),
        ("postgresql://h/d?port=-1", "no number below 65536"),
        ("postgresql://h/d?schema=UPPER", "a-z"),
        ("postgresql://h/d?schema=pg_own", "pg_"),
        ('postgresql://h/d?schema=a"b', "a-z"),
        ("postgresql://h/d?schema=", "a-z"),
        ("postgresql://h/d?notify=maybe", "on, off"),
    ],
)
def test_wrong_urls(url, allowed):
    """
    A URL that can never work is one error that says what is allowed and shows no credentials.
    """
    with pytest.raises(ConfigurationError, match=allowed) as caught:
        open_store(url)

    assert "w0rd" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("missing", ["psycopg", "psycopg_binary"])
def test_missing_driver(missing):
    """
    Without the driver, or where that finds no libpq, the one error names the command that installs it.
    """
    program = (
        f"import sys; sys.modules[{missing!r}] = None; sys.modules['psycopg_c'] = None\n"
        "import ctypes.util; ctypes.util.find_library = lambda name: None\n"
        "import cutover\n"
        "try:\n    cutover.control('postgresql://h/d')\n"
        "except cutover.ConfigurationError as error:\n    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)

    assert "pip install 'cutover-controller[postgres]'" in done.stdout
