"""
URLs without what must not be shown.
"""

import pytest

from cutover.engines.redaction import redacted


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://rina:pw@db:5432/shop", "postgresql://***@db:5432/shop"),
        ("postgresql://rina:p@w/x?y@db/shop", "postgresql://***@db/shop"),
        ("redis://:pw@db", "redis://***@db"),
        ("redis:user:pw@db", "redis:***@db"),
        (
            "postgresql:///shop?user=rina&password=pw&sslmode=require",
            "postgresql:///shop?user=rina&password=***&sslmode=require",
        ),
        ("https://relay/?access_token=pw", "https://relay/?access_token=***"),
        ("sqlite:////srv/a@b.db", "sqlite:////srv/a@b.db"),
        ("sqlite://rina:pw@db/a.db", "sqlite://***@db/a.db"),
        ("file:/srv/a@b.toml", "file:/srv/a@b.toml"),
        ("pw@nowhere", "***@nowhere"),
        ("", ""),
    ],
)
def test_redacted(url, shown):
    """
    No part of a user's name and password, nor a secret option, is shown; paths are.
    """
    assert redacted(url) == shown
