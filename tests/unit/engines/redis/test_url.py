"""
What URLs of Redis and Valkey servers may say.
"""

import pytest

from cutover.engines.redis.url import Target
from cutover.errors import ConfigurationError


@pytest.mark.parametrize(
    ("url", "shown", "prefix"),
    [
        ("redis://db", "redis://db:6379/0", "cutover"),
        ("redis://db:7000/3", "redis://db:7000/3", "cutover"),
        ("redis://rina:p%40w@db/", "redis://db:6379/0", "cutover"),
        ("redis://:pw@[::1]:7000/0?prefix=shop:eu", "redis://[::1]:7000/0?prefix=shop:eu", "shop:eu"),
        ("rediss://db?ssl_ca_certs=/srv/ca.pem", "rediss://db:6379/0", "cutover"),
    ],
)
def test_known_urls(url, shown, prefix):
    """
    A store names itself by host, port, database and prefix, and never by its credentials.
    """
    target = Target.parse(url)

    assert (target.url, target.prefix) == (shown, prefix)
    assert "pw" not in repr(target)
    assert "p@w" not in repr(target)


def test_what_a_connection_is_made_with():
    """
    User, password, host, port and database reach the driver unescaped, and the prefix does not.
    """
    options = Target.parse("redis://ri%2Fna:p%40w@db:7000/3?prefix=x").options

    assert options == {"username": "ri/na", "password": "p@w", "host": "db", "port": 7000, "db": 3}


@pytest.mark.parametrize(
    ("options", "checks"),
    [("", True), ("?ssl_cert_reqs=none", False), ("?ssl_check_hostname=false", False), ("?ssl_ca_path=/srv", True)],
)
def test_certificates_are_compared(options, checks):
    """
    With TLS the name in the certificate is compared, unless that is switched off.
    """
    assert Target.parse(f"rediss://db{options}").options["ssl_check_hostname"] is checks


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("redis:", "names no host"),
        ("redis://", "names no host"),
        ("redis:///0", "names no host"),
        ("redis://db/shop", "the database is no number"),
        ("redis://db/0/1", "the database is no number"),
        ("redis://db:port", "the port is no number"),
        ("redis://db:0", "the port is no number"),
        ("redis://db:70000", "the port is no number"),
        ("redis://db#x", "fragment"),
        (f"redis://{'x' * 64}", "cannot be opened"),
        ("redis://db?prefix=", "the prefix"),
        ("redis://db?prefix={a}", "the prefix"),
        ("redis://db?prefix", "cannot be opened"),
        ("redis://db?socket_timeout=9", "unknown options socket_timeout"),
        ("redis://db?ssl_ca_certs=x", "unknown options ssl_ca_certs"),
        ("rediss://db?ssl_cert_reqs=perhaps", "cannot be opened"),
        ("redis://rina:hunter2/@db", "the database is no number"),
    ],
)
def test_bad_urls(url, reason):
    """
    A URL that can never work is one error that says why and what is allowed, without the password.
    """
    with pytest.raises(ConfigurationError, match=reason) as caught:
        Target.parse(url)

    assert "allowed: redis://" in str(caught.value)
    assert "hunter2" not in str(caught.value)
