"""
The picture of a status.
"""

import io
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from uuid import uuid4

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from cutover.cli.status_view import COARSE, bar, status_view
from cutover.core.migration import Migration
from cutover.operations.control import Control
from cutover.operations.status import Waiting
from cutover.stores.registry import open_store

TOML = """
name = "shop"
title = "Old shop to new"
old = "legacy"
new = "modern"
started = 2026-01-01
deadline = 2026-01-31
[flows.browse]
[flows.pay]
[work.texts]
title = "Texts"
"""


@pytest.fixture
def status():
    """
    The status of a migration half of the way to its deadline, with a reason that looks like markup.
    """
    control = Control(open_store(f"memory:{uuid4().hex}"), actor="rina", now=lambda: datetime(2026, 1, 16, tzinfo=UTC))
    control.apply(Migration.parse(TOML))
    control.set("browse", 50, reason="[bold]half[/bold]")
    control.freeze(reason="holi\u202edays")
    return control.status()


def drawn(status, width=100, encoding="utf-8"):
    """
    Draw a status as text without colours.
    """
    file = io.StringIO()
    Console(file=file, width=width).print(status_view(status, width=width, encoding=encoding))
    return file.getvalue()


def test_it_tells_who_where_and_until_when(status):
    """
    The picture names the migration, both sides, the head, the freeze, the deadline and the last changes.
    """
    text = drawn(status)

    for part in (
        "Old shop to new",
        "legacy → modern",
        f"{status.version}:{status.head[:12]}",
        "FROZEN since 00:00:00 by rina: holi�days",
        "2026-01-31, 15 days left",
        "rina: [bold]half[/bold]",
        "none has checked in",
    ):
        assert part in text


@pytest.mark.parametrize("width", [80, 100, 120, 200])
def test_it_fits(status, width):
    """
    No line is wider than the terminal, and each flow keeps its line.
    """
    lines = drawn(status, width).splitlines()

    assert max(len(line) for line in lines) <= width
    assert sum(line.startswith(("browse", "pay")) for line in lines) == 2


def test_what_is_compared(status):
    """
    The picture says of how many keys both sides are asked, and nothing where none are.
    """
    browse, pay = status.flows
    shadowed = attrs.evolve(status, flows=(attrs.evolve(browse, shadow=2_500), pay))

    assert "Compared: browse 2.5% of keys\n" in drawn(shadowed)
    assert "Compared" not in drawn(status)


def test_a_drain_tells_until_when(status):
    """
    What goes on until a known moment is drawn with it, and with what is left; where there is room for both.
    """
    over = status.at + timedelta(hours=2, minutes=10)
    waiting = (Waiting("visits on NEW drain", status.changed_at, over),)
    draining = attrs.evolve(status, flows=tuple(attrs.evolve(flow, waiting_for=waiting) for flow in status.flows))

    assert "visits on NEW drain until 02:10:00 (2h 10m)" in drawn(draining, 130)
    assert "visits on NEW drain, 2h 10m left" in drawn(draining, 100)


def test_a_terminal_without_unicode_gets_ascii(status):
    """
    What this program itself draws is ASCII where the terminal needs that.
    """
    assert drawn(status, encoding="ascii").replace("�", "").isascii()


def test_a_deadline_that_is_over_says_so(status):
    """
    After the deadline the days count up.
    """
    late = attrs.evolve(status, progress=attrs.evolve(status.progress, days_left=-3))

    assert "3 days over" in drawn(late)


@given(st.integers(0, 100_000), st.none() | st.integers(0, 100_000), st.integers(2, 40))
def test_a_bar_never_claims_all_or_nothing(target, actual, width):
    """
    A bar has its width; it is full only at 100% and empty only at 0%, of what is asked as of what is measured.
    """
    goal = Fraction(target, 100_000)
    done = None if actual is None else Fraction(actual, 100_000)

    text = bar(done, goal, width, COARSE).plain

    assert len(text) == width
    assert (text.count("#") == width) == (done == 1)
    assert ("#" in text) == bool(done)
    assert ("." not in text) == (goal == 1 or done == 1)
