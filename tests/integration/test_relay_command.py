"""
The command line of `cutover serve`.
"""

import os
import subprocess
import sys

import pytest
from servers.ports import free_port

from cutover.server.access import parse_tokens


def serve(*arguments, **more):
    """
    Run `cutover serve` to its end, and give its code, its output and its complaints.
    """
    env = {name: value for name, value in os.environ.items() if not name.startswith("CUTOVER_")} | more
    run = subprocess.run(
        [sys.executable, "-m", "cutover.cli", "serve", *arguments],
        check=False,
        capture_output=True,
        text=True,
        env=env,
        timeout=60,
    )
    return run.returncode, run.stdout, run.stderr


def test_hash_token():
    """
    A token is made with the line that admits it, and no store is needed for that.
    """
    code, said, _ = serve("--hash-token", "router:web")
    token, line = (text.split()[-1] for text in said.splitlines())

    assert code == 0
    (parsed,) = parse_tokens(line, "line")
    assert (parsed.role.name, parsed.name) == ("ROUTER", "web")
    assert len(token) >= 43
    assert token not in line


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "which store?"),
        (("--hash-token", "root:web"), "allowed roles"),
        (("--store", "file:x.toml"), "only read"),
        (("--store", "sqlite:///x.db", "--listen", "0.0.0.0:1"), "without tokens"),
        (("--store", "sqlite:///x.db", "--listen", "relay.example:1"), "without tokens"),
        (("--store", "sqlite:///x.db", "--tls-cert", "x.pem"), "go together"),
        (("--store", "sqlite:///x.db", "--tls-cert", "x.pem", "--tls-key", "x.key"), "cannot be used"),
        (("--store", "sqlite:///x.db", "--tokens", "missing"), "cannot be read"),
        (("--store", "sqlite:///x.db", "--connections", "0"), "--connections"),
        (("--store", "nosql://x"), "unknown scheme"),
        (("--store", "sqlite:///x.db", "--outbox", "redis://localhost"), "cannot keep an outbox"),
    ],
)
def test_wrong_calls(arguments, says, tmp_path, monkeypatch):
    """
    What can never work ends with 2 and one line that says why.
    """
    monkeypatch.chdir(tmp_path)
    listen = () if "--listen" in arguments else ("--listen", str(free_port()))
    code, _, problem = serve(*arguments, *listen)

    assert (code, says in problem) == (2, True), problem
    assert "Traceback" not in problem


def test_taken_port(serving, shop_url):
    """
    A port that another process has is one clear error.
    """
    relay = serving(shop_url)
    code, _, problem = serve("--store", shop_url, "--listen", str(relay.port))

    assert (code, "cannot listen" in problem) == (2, True)


def test_wrong_tokens_in_the_environment():
    """
    A wrong token line stops the start, and is not shown.
    """
    code, _, problem = serve("--store", "sqlite:///x.db", CUTOVER_TOKENS="admin:rina:s3cret")

    assert (code, "s3cret" in problem) == (2, False)
