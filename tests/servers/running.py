"""
Real servers for a test: waited for, asked, and ended.
"""

import json
import signal
import subprocess
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import pytest

from cutover.testing import store_helpers

T = TypeVar("T")

PATIENCE = 60.0  # seconds; what has not happened by then does not happen


def until(look: Callable[[], T]) -> T:
    """
    Look again until there is something to see, and give it.
    """
    seen = store_helpers.until(look, PATIENCE)
    return seen or pytest.fail(f"{look.__name__} gave {seen!r} for {PATIENCE} s")


def get(url: str) -> str:
    """
    Fetch a page.
    """
    with urllib.request.urlopen(url, timeout=10) as answer:
        return answer.read().decode()


def get_json(url: str):
    """
    Fetch a document.
    """
    return json.loads(get(url))


def answers(url: str) -> bool:
    """
    Tell whether a server answers there yet.
    """
    try:
        get(url)
    except OSError:  # refused, an error of the server, or an answer that does not come
        return False
    return True


@contextmanager
def serving(command, ready: str, **options) -> Iterator[subprocess.Popen]:
    """
    Run a server for a block, from when a URL of it answers; it must then end well when asked to.
    """
    process = subprocess.Popen([str(part) for part in command], **options)
    try:

        def ready_or_gone() -> bool:
            assert process.poll() is None, f"{command[0]} ended with {process.returncode}"
            return answers(ready)

        until(ready_or_gone)
        yield process
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0
    finally:
        process.kill()
        process.wait()
