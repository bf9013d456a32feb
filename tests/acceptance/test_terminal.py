"""
What needs a terminal, on a real one: questions, and a status that is redrawn in place; and the same without one.
"""

import json
import os
import pty
import selectors
import signal
import subprocess
import threading
import time
from contextlib import contextmanager

import attrs
import pytest

from cutover.claims.homes import homes

DEADLINE = 30  # seconds


@attrs.define
class Terminal:
    """
    The other end of a terminal that a command runs on.
    """

    process: subprocess.Popen
    handle: int
    seen: str = ""

    def expect(self, text):
        """
        Read until a text shows.
        """
        end = time.monotonic() + DEADLINE
        with selectors.DefaultSelector() as selector:
            selector.register(self.handle, selectors.EVENT_READ)
            while text not in self.seen:
                assert time.monotonic() < end, f"{text!r} did not show in {self.seen!r}"
                if selector.select(0.1):
                    self.seen += self._read()

    def type(self, text):
        """
        Type a line.
        """
        os.write(self.handle, f"{text}\n".encode())

    def _read(self):
        try:
            return os.read(self.handle, 65536).decode(errors="replace")
        except OSError:  # Linux tells that the other end was closed so
            return ""


@contextmanager
def terminal(shop, *arguments):
    """
    Run a command on a terminal of its own, and stop it at the end.
    """
    handle, other = pty.openpty()
    process = shop.start(*arguments, stdin=other, stdout=other, stderr=other)
    os.close(other)
    try:
        yield Terminal(process, handle)
    finally:
        process.kill()
        process.wait()
        os.close(handle)


@pytest.mark.parametrize(("answer", "code", "versions"), [("y", 0, 3), ("n", 1, 2)])
def test_a_question_is_asked_on_a_terminal(shop, answer, code, versions):
    """
    An operator at a terminal is asked with the moves in sight; yes does it, no refuses it.
    """
    shop.run("set", "browse", "50", "--reason", "x")
    path = shop.folder / "cutover.toml"
    path.write_text(path.read_text().replace('["cart", "pay"]', '["browse", "cart", "pay"]'))

    with terminal(shop, "apply", "cutover.toml") as opened:
        opened.expect("Go on? [y/N]")
        assert "50% of browse's users move from NEW to OLD" in opened.seen
        opened.type(answer)
        assert opened.process.wait(timeout=DEADLINE) == code

    assert len(shop.texts()) == versions


def test_what_was_confirmed_is_done_or_nothing(shop):
    """
    Another change between the question and the answer makes the answer a conflict.
    """
    shop.run("set", "browse", "50", "--reason", "x")
    path = shop.folder / "cutover.toml"
    path.write_text(path.read_text().replace('["cart", "pay"]', '["browse", "cart", "pay"]'))

    with terminal(shop, "apply", "cutover.toml") as opened:
        opened.expect("Go on?")
        with shop.control() as control:
            control.set("browse", 100, reason="meanwhile")
        opened.type("y")
        assert opened.process.wait(timeout=DEADLINE) == 1

    assert [json.loads(text)["verb"] for text in shop.texts()] == ["apply", "set", "set"]


@pytest.mark.parametrize(("answer", "code", "there"), [("y", 0, 3), ("n", 1, 0)])
def test_rehome_asks(shop, answer, code, there):
    """
    At a terminal rehome asks before it writes a home.
    """
    url = f"sqlite:///{shop.folder}/homes.db"
    (shop.folder / "ids.txt").write_text("1\n2\n3\n")

    with terminal(shop, "rehome", "order", "--file", "ids.txt", "--reason", "copied", "--homes", url) as opened:
        opened.expect("Go on? [y/N]")
        assert "3 of the kind order live on NEW from now on." in opened.seen
        opened.type(answer)
        assert opened.process.wait(timeout=DEADLINE) == code

    with homes(url, migration="shop") as place:
        assert sum(sides.new for sides in place.counts().values()) == there


def test_watch_redraws_on_a_terminal(shop):
    """
    On a terminal the watched status is redrawn in place when something changes, and ends with Ctrl-C.
    """
    with terminal(shop, "status", "--watch") as opened:
        opened.expect("FLOW")
        with shop.control() as control:
            change = control.set("browse", 42, reason="x")
        opened.expect(f"2:{change.hash[:12]}")
        opened.expect("\x1b[1A")  # one line up: drawn over, not below
        opened.process.send_signal(signal.SIGINT)
        assert opened.process.wait(timeout=DEADLINE) == 0


def test_watch_goes_on_where_the_store_goes_away(shop):
    """
    A store that goes away while it is watched is shown, and the watch goes on when it is back.
    """
    path = shop.folder / "cutover.db"
    with terminal(shop, "status", "--watch") as opened:
        opened.expect("FLOW")
        path.rename(path.with_suffix(".away"))
        opened.expect("Unavailable")
        path.with_suffix(".away").rename(path)
        opened.seen = ""
        with shop.control() as control:
            change = control.set("browse", 42, reason="x")
        opened.expect(f"2:{change.hash[:12]}")


@contextmanager
def watched(shop, *arguments):
    """
    Watch without a terminal, and be ended with it if it says nothing for too long.
    """
    with shop.start("status", "--watch", *arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        guard = threading.Timer(DEADLINE, process.kill)
        guard.start()
        try:
            yield process
        finally:
            guard.cancel()
            process.kill()


def test_watch_without_a_terminal_prints_on_each_change(shop):
    """
    In a pipe a new block of lines is printed when something changed, without control characters.
    """
    with watched(shop) as process:
        until(process.stdout, b"1:")
        with shop.control() as control:
            change = control.set("browse", 42, reason="x")
        assert b"\x1b" not in until(process.stdout, f"2:{change.hash[:12]}".encode())
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=DEADLINE) == 0


def test_watch_as_json_prints_one_document_a_line(shop):
    """
    With --json each change is one document on one line.
    """
    with watched(shop, "--json") as process:
        assert json.loads(process.stdout.readline())["version"] == 1
        with shop.control() as control:
            control.set("browse", 42, reason="x")
        assert json.loads(process.stdout.readline())["version"] == 2


def until(stream, text):
    """
    Read lines up to the one with a text.
    """
    seen = b""
    for line in stream:
        seen += line
        if text in line:
            return seen
    raise AssertionError(f"the output ended without {text!r}: {seen!r}")
