"""
What a relay's URL may say.
"""

import pytest

from cutover.engines.registry import open_store
from cutover.engines.relay.url import RelayAddress
from cutover.errors import ConfigurationError


@pytest.fixture(autouse=True)
def bare(monkeypatch):
    """
    An environment that says nothing of relays.
    """
    for name in ("CUTOVER_TOKEN", "CUTOVER_TLS_CA"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("url", "shown", "port", "token"),
    [
        ("http://relay", "http://relay", 80, ""),
        ("https://relay", "https://relay", 443, ""),
        ("http://relay:8321/", "http://relay:8321", 8321, ""),
        ("https://:abc@relay:443/a/b/", "https://relay/a/b", 443, "abc"),
        ("http://:a%2Fb%40c@relay", "http://relay", 80, "a/b@c"),
        ("http://[::1]:8321", "http://[::1]:8321", 8321, ""),
    ],
)
def test_parts(url, shown, port, token):
    """
    Host, port, prefix and token are taken from the URL; its name never shows the token.
    """
    address = RelayAddress.parse(url)

    assert (shown, port, token) == (address.url, address.port, address.token)
    assert not token or token not in repr(address)


def test_environment(monkeypatch):
    """
    A token in the URL goes before the environment's.
    """
    monkeypatch.setenv("CUTOVER_TOKEN", "from-the-environment")

    assert [RelayAddress.parse(url).token for url in ("http://relay", "http://:own@relay")] == [
        "from-the-environment",
        "own",
    ]


@pytest.mark.parametrize(
    "url",
    [
        "http://",
        "http://:8321",
        "http://relay:99999",
        "http://relay:x",
        "http://relay?token=s3cret",
        "http://relay#s3cret",
        "http://rina:s3cret@relay",
        "http://:s3cret%0A@relay",
        "http://[::1",
        "https:relay",
    ],
)
def test_wrong(url):
    """
    A URL that can never work is one error, which says what is allowed and shows no token.
    """
    with pytest.raises(ConfigurationError, match="allowed: http") as caught:
        open_store(url)

    assert "s3cret" not in str(caught.value)


def test_wrong_certificates(monkeypatch, tmp_path):
    """
    A file of certificates that is not there is found when the store is opened.
    """
    monkeypatch.setenv("CUTOVER_TLS_CA", str(tmp_path / "ca.pem"))
    with pytest.raises(ConfigurationError, match="CUTOVER_TLS_CA"):
        open_store("https://relay")
