"""
Declaring dead what will never come back.
"""

from datetime import UTC, datetime

import pytest

from cutover.core.checkin import LEASE, CheckIn, Counted, Kind, minute_of
from cutover.errors import ConfigurationError, Refused

PAY = Counted(Kind.REQUESTS, "pay", "old", "percent")


def report(clock, instance, **given):
    """
    A check-in of a process.
    """
    born = datetime(2026, 1, 1, tzinfo=UTC)
    minutes = {minute_of(clock()): {PAY: 7}}
    given = {"sequence": 1, "host": "h", "pid": 1, **given}
    return CheckIn(instance=instance, at=clock(), started=born, library="0.1.0", minutes=minutes, **given)


def test_dead(control, store, clock):
    """
    A lost process that is declared dead stands in the ledger, counts no longer, and what it counted stays.
    """
    store.check_in(control.migration, report(clock, "abc1"), now=clock())
    store.check_in(control.migration, report(clock, "abd2"), now=clock())
    clock.now += 2 * LEASE
    assert [gap["instance"] for gap in control.status().document()["gaps"]] == ["abc1", "abd2"]

    change = control.declare_dead("abc", reason="the node burnt")

    seen = "2026-01-11T12:00:00.000000Z"
    assert (change.verb, change.arguments, change.effects) == (
        "dead",
        {"instance": "abc1", "seen": seen, "who": "h/1"},
        {},
    )
    assert [one.id for one in control.instances()] == ["abd2"]
    assert control.fleet().totals() == {PAY: 14}
    assert control.verify().ok


def test_not_dead(control, store, clock):
    """
    A process that checked in a moment ago is not declared dead.
    """
    store.check_in(control.migration, report(clock, "abc1"), now=clock())
    clock.now += LEASE
    version = control.snapshot().version

    with pytest.raises(Refused, match=r"^instance abc1 is alive: it checked in 15 s ago$"):
        control.declare_dead("abc1", reason="a mistake")
    assert control.snapshot().version == version


@pytest.mark.parametrize(
    ("name", "found"),
    [("", "none is"), ("x", "none is"), ("ab", "several are"), ("h/1", "several are")],
)
def test_whom(control, store, clock, name, found):
    """
    The beginning of a name must tell one process from all others.
    """
    for instance in ("abc1", "abd2"):
        store.check_in(control.migration, report(clock, instance), now=clock())

    with pytest.raises(ConfigurationError, match=rf"and {found} named so; allowed: a lost one "):
        control.declare_dead(name, reason="a mistake")


@pytest.mark.parametrize("given", ["checkout-api", "web-2/7", "checkout-api web-2/7", "abd"])
def test_by_its_name(control, store, clock, given):
    """
    A lost process is named by its name, by where it runs, by both, or by its id; others of its name that are alive do
    not matter.
    """
    store.check_in(control.migration, report(clock, "abd2", name="checkout-api", host="web-2", pid=7), now=clock())
    clock.now += 2 * LEASE
    store.check_in(control.migration, report(clock, "abc1", name="checkout-api"), now=clock())

    control.declare_dead(given, reason="the node burnt")

    assert [one.who for one in control.instances()] == ["checkout-api h/1"]


def test_back_from_the_dead(control, store, clock):
    """
    A process that was declared dead and goes on all the same shows again.
    """
    store.check_in(control.migration, report(clock, "abc1"), now=clock())
    clock.now += 2 * LEASE
    control.declare_dead("abc1", reason="a mistake")

    store.check_in(control.migration, report(clock, "abc1", sequence=3), now=clock())

    assert [one.id for one in control.instances()] == ["abc1"]
