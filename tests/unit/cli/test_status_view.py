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

from cutover.cli.bars import COARSE, bar
from cutover.cli.listing import instances_table
from cutover.cli.status_view import status_view
from cutover.core.backend import Backend
from cutover.core.checkin import CheckIn, InstanceState
from cutover.core.fleet import Calls, Sides
from cutover.core.lacking import lacking
from cutover.core.migration import Migration
from cutover.core.names import Asked, NameKind
from cutover.engines.registry import open_store
from cutover.operations.control import Control
from cutover.operations.status import Instance, Waiting

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


def test_names_that_the_definition_lacks(status):
    """
    Each unknown name is shown with what becomes of it, who asks for it, how often, and the name that may be meant.
    """
    report = CheckIn(
        instance="a" * 32,
        sequence=1,
        at=status.at,
        host="web\u202e-1",
        pid=17,
        started=status.at,
        library="1",
        asked=(
            Asked(NameKind.FLOW, "pay\u202e", 12_345),
            *(Asked(NameKind.JOURNEY, f"buy-{n}", 0) for n in range(5)),
        ),
    )
    definition = Migration.parse(TOML)
    text = drawn(attrs.evolve(status, unknown=lacking([report], definition, now=status.at)), width=160)

    assert (
        "Unknown flow pay�: its requests go to OLD. Requests: 12.3k, from web�-1/17; the closest known name is pay"
        in text
    )
    assert "Unknown journey buy-0: its visits keep no side. Requests: 0, from web�-1/17" in text
    assert "1 more unknown name: --json" in text


def figures(flow, *, old=(), new=(), counted=(0, 0)):
    """
    Give a flow calls of the last minutes by side, as failed ones and all, and requests since 90 seconds before.
    """
    traffic = attrs.evolve(flow.traffic, requests=Sides(*counted), since=flow.traffic.since - timedelta(seconds=90))
    return attrs.evolve(flow, calls={Backend.OLD: Calls(*old), Backend.NEW: Calls(*new)}, traffic=traffic)


@pytest.mark.parametrize("width", [60, 80, 100, 120, 160, 200])
@pytest.mark.parametrize("name", ["pay", "checkout-confirmation-of-the-second-warehouse"])
def test_it_fits(status, width, name):
    """
    No line is wider than the terminal, and no figure of a flow is cut, however long its name is.
    """
    browse, pay = (figures(f, old=(4, 1200), new=(40, 1300), counted=(9_990, 99_900)) for f in status.flows)
    status = attrs.evolve(status, flows=(browse, attrs.evolve(pay, name=name, effective=33_333)))
    lines = drawn(status, width).splitlines()

    assert max(len(line) for line in lines) <= width
    assert sum(line.startswith(("browse", name)) for line in lines) == 2
    for figure in (name, "33.333%", "90.9% of 109k in 1m", "0.3% of 1200 / 3.1% of 1300"):
        assert any(figure in line for line in lines), figure
    assert " ".join(" ".join(lines).split()).count("nothing counted since the last change (0 s ago)") == 2


@pytest.mark.parametrize(
    ("old", "new", "shown"),
    [
        ((), (), "-"),
        ((0, 12), (), "0% of 12 / -"),
        ((2, 1_234_567), (400, 400), "0.1% of 1.2M / 100% of 400"),
    ],
)
def test_errors(status, old, new, shown):
    """
    Each side has the share of failed calls and the number of calls; without calls there is no share.
    """
    flows = tuple(figures(flow, old=old, new=new) for flow in status.flows)
    lines = drawn(attrs.evolve(status, flows=flows), 80).splitlines()

    assert [line.rstrip().endswith(f"  {shown}") for line in lines if line.startswith(("browse", "pay"))] == [True] * 2


def test_the_reason_is_cut_and_not_the_change(status):
    """
    The last changes are whole up to the reason, which is cut; one that is longer than the line goes on below.
    """
    first, second, *rest = status.last
    told = attrs.evolve(second, reason="because " * 40)
    shown = drawn(attrs.evolve(status, last=(first, told, *rest)), 60)
    lines = shown.splitlines()[-2:]

    assert "apply: adds flows browse, pay" in " ".join(shown.split())
    assert [line.split()[0] for line in lines] == ["2", "3"]
    assert "set browse 50%" in lines[0]
    assert lines[0].endswith("…")


def test_instances_that_are_not_current(status):
    """
    An instance that is lost, behind or regressed is named, the first three of each.
    """
    states = (*[InstanceState.LOST] * 5, InstanceState.BEHIND, InstanceState.CURRENT)
    instances = tuple(instance(status, number, state) for number, state in enumerate(states))
    text = drawn(attrs.evolve(status, instances=instances))

    assert "Instances  1 current, 1 behind, 5 lost\n" in text
    assert "lost: web h/0, web h/1, web h/2, 2 more: cutover instances; what they counted" in text
    assert "behind: web h/5\n" in text


@pytest.mark.parametrize(
    ("state", "said"),
    [
        (InstanceState.LOST, ("what it counted since", "what they counted since")),
        (InstanceState.REGRESSED, ("it runs a version that", "they run a version that")),
    ],
)
def test_one_instance_and_several(status, state, said):
    """
    What is said of one instance that is away is in the singular, and of several in the plural.
    """
    for number, words in enumerate(said, start=1):
        instances = tuple(instance(status, one, state) for one in range(number))
        assert words in " ".join(drawn(attrs.evolve(status, instances=instances)).split())


def instance(status, pid, state):
    """
    Make a process in a state.
    """
    return Instance(
        id="a" * 32,
        name="web",
        state=state,
        host="h",
        pid=pid,
        head=None,
        library="1",
        started=status.at,
        seen=status.at,
        age=timedelta(0),
        break_glass=(),
    )


@pytest.mark.parametrize("width", [60, 80, 120])
def test_instances_keep_their_names(status, width):
    """
    A narrow terminal shows the names and states of all processes, without what tells least.
    """
    file = io.StringIO()
    instances = [instance(status, number, InstanceState.LOST) for number in (1, 22)]
    Console(file=file, width=width).print(instances_table(instances, width))
    lines = file.getvalue().splitlines()

    assert max(len(line) for line in lines) <= width
    assert [line.split()[:3] for line in lines] == [
        ["NAME", "HOST/PID", "STATE"],
        ["web", "h/1", "lost"],
        ["web", "h/22", "lost"],
    ]
    assert ("LIBRARY" in lines[0]) == (width > 60)


def test_instances_with_unknown_names(status):
    """
    Where a process asks for names that the definition lacks, the table says which and how often.
    """
    file = io.StringIO()
    unknown = frozenset(Asked(NameKind.FLOW, f"pay-{number}\u202e", number) for number in range(5))
    instances = [
        attrs.evolve(instance(status, 1, InstanceState.CURRENT), unknown=unknown),
        instance(status, 22, InstanceState.CURRENT),
    ]
    Console(file=file, width=200).print(instances_table(instances, 200))

    assert "UNKNOWN NAMES" in file.getvalue()
    assert "flow pay-4� 4x, flow pay-3� 3x, flow pay-2� 2x, 2 more: --json" in file.getvalue()


def test_no_forecast_before_a_day_of_history(status):
    """
    Instead of a date the picture says when there will be one.
    """
    young = attrs.evolve(status.progress, forecast=None, forecast_from=status.at + timedelta(hours=2))

    assert "no forecast before 02:00:00: a day of history is needed" in drawn(attrs.evolve(status, progress=young))


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
    What goes on until a known moment is drawn with it, and with what is left.
    """
    over = status.at + timedelta(hours=2, minutes=10)
    visits = Waiting("visits begun on NEW may go on", status.changed_at, over)
    waiting = (visits, Waiting("frozen"), Waiting("a cohort"))
    draining = attrs.evolve(status, flows=tuple(attrs.evolve(flow, waiting_for=waiting) for flow in status.flows))

    assert "visits begun on NEW may go on until 02:10:00 (2h 10m); 2 more: --json" in drawn(draining, 100)


def test_a_terminal_without_unicode_gets_ascii(status):
    """
    What this program itself draws is ASCII where the terminal needs that.
    """
    assert drawn(status, encoding="ascii").replace("�", "").isascii()


def test_a_deadline_that_is_over_says_so(status):
    """
    After the deadline the days count up.
    """
    for days, shown in ((-3, "3 days over"), (-1, "1 day over"), (0, "today"), (1, "1 day left"), (2, "2 days left")):
        late = attrs.evolve(status, progress=attrs.evolve(status.progress, days_left=days))
        assert f", {shown} " in drawn(late)


def test_a_long_reason_of_a_freeze_is_cut(status):
    """
    A freeze takes one line of the picture, however long its reason is.
    """
    frozen = attrs.evolve(status, frozen=attrs.evolve(status.frozen, reason="a long reason " * 50))
    (line,) = (line for line in drawn(frozen, 60).splitlines() if "reason" in line and "FROZEN" in line)

    assert line.startswith("FROZEN since 00:00:00 by rina: a long")
    assert line.endswith("…")
    assert drawn(frozen, 60).count("long reason") == line.count("long reason")


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
