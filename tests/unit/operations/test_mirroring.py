"""
What operators see of mirrored writes, and what that means for dials.
"""

import io
import itertools
from datetime import UTC, datetime

import attrs
import pytest
from rich.console import Console

import cutover
from cutover.cli.status_view import status_view
from cutover.core.backend import Backend
from cutover.core.defined import Flow, Journey
from cutover.engines.registry import open_outbox
from cutover.errors import ConfigurationError, Refused, Unavailable
from cutover.operations.mirroring import Mirrors
from cutover.ports.outbox import Entry, Rule, State

NUMBERS = itertools.count()
NOON = datetime(2024, 1, 1, 12, tzinfo=UTC)
SHOP = cutover.Migration(
    name="shop", title="Shop", old="a", new="b", salt="shop", flows={name: Flow(name=name) for name in ("cart", "pay")}
)


@pytest.fixture(autouse=True)
def no_variables(monkeypatch):
    """
    Nothing of the caller's environment.
    """
    monkeypatch.delenv("CUTOVER_OUTBOX", raising=False)


@pytest.fixture
def place():
    """
    A store and an outbox in one place in memory.
    """
    return f"memory:mirroring-{next(NUMBERS)}"


@pytest.fixture
def control(place):
    """
    An operator of a migration with a dial at 10%.
    """
    with cutover.control(place, actor="rina") as opened:
        opened.apply(SHOP)
        opened.set("cart", 10, reason="begin")
        yield opened


@pytest.fixture
def outbox(place):
    """
    The outbox, with a write on record.
    """
    one = open_outbox(place)
    one.create()
    one.register("shop", Rule(flow="cart", name="cart.add", confirms=True))
    yield one
    one.close()


def lacking(outbox, key="user-1", *, state=State.PENDING, side=Backend.OLD, write="cart.add"):
    """
    Make an intent that the other side lacks.
    """
    entry = Entry(
        migration="shop",
        flow="cart",
        write=write,
        lane=key[::-1],
        key=f'"{key}"',
        side=side,
        arguments='[["secret"],{}]',
    )
    intent = attrs.evolve(outbox.record(entry, "first", 60), state=state, error="OSError: of user-1")
    outbox.put_back(intent, 60.0)
    return intent


@pytest.mark.parametrize("percent", [0, 50])
def test_set_is_refused(control, outbox, percent):
    """
    A dial is not changed, up or down, while a side lacks more writes of its flow than is allowed; the figures are told.
    """
    lacking(outbox)
    lacking(outbox, "user-2", side=Backend.NEW, state=State.UNDELIVERED)
    with pytest.raises(Refused) as caught:
        control.set("cart", percent, reason="on")

    (detail,) = caught.value.details
    assert detail == ("cart.add: OLD lacks 1 and NEW lacks 1, 1 of them dead letters; allowed is a backlog of 0")
    assert control.snapshot().dials["cart"] == 10_000


def test_preview_is_refused(control, outbox):
    """
    A dry run is refused like the change itself.
    """
    lacking(outbox)

    with pytest.raises(Refused):
        control.preview.set("cart", 50)


def test_override_is_refused(control, outbox):
    """
    What puts one key of the flow on another side is refused too.
    """
    lacking(outbox)

    with pytest.raises(Refused):
        control.override("cart", "user-7", "new", reason="tester")


def test_what_moves_nobody(control, outbox):
    """
    What moves no key of the flow is done: another flow's dial, a freeze, a comparison.
    """
    lacking(outbox)
    control.set("pay", 50, reason="on")
    control.set("cart", 10, shadow=5, reason="compare")
    control.freeze(reason="holiday")

    assert control.snapshot().dials["pay"] == 50_000


def test_allowed_backlog(control, outbox):
    """
    Up to the backlog that the write allows, the dial may be changed.
    """
    outbox.register("shop", Rule(flow="cart", name="cart.add", allowed_backlog=2))
    for key in ("user-1", "user-2"):
        lacking(outbox, key)
    control.set("cart", 50, reason="on")
    lacking(outbox, "user-3")

    with pytest.raises(Refused):
        control.set("cart", 60, reason="on")


def test_rollback(control, outbox):
    """
    A rollback is done whatever is lacking, and says what OLD lacks.
    """
    lacking(outbox, side=Backend.NEW)
    proposal = control.preview.rollback("cart")
    change = control.rollback("cart", reason="errors")

    assert any("OLD lacks writes: cart.add: OLD lacks 1" in note for note in proposal.notes)
    assert control.snapshot().version == change.version
    assert control.snapshot().dials["cart"] == 0


def test_rollback_of_visits_alone(control, outbox):
    """
    A rollback that finds the dial at 0% already sends the visits that are still on NEW to OLD, and says what OLD lacks.
    """
    control.set("cart", 0, reason="drain")
    lacking(outbox, side=Backend.NEW)
    proposal = control.preview.rollback("cart")

    assert any("OLD lacks writes: cart.add: OLD lacks 1" in note for note in proposal.notes)
    assert not proposal.moves


def test_eviction_is_refused(control, outbox):
    """
    What moves visits alone is refused like what moves keys: a dial that another flow of its journey holds at 0%.
    """
    journeys = {"purchase": Journey(name="purchase", flows=("cart", "pay"), together=True)}
    control.apply(attrs.evolve(SHOP, journeys=journeys), confirm=True)
    lacking(outbox, side=Backend.NEW)
    control.set("cart", 5, reason="visits are drained")
    with pytest.raises(Refused, match="cart"):
        control.set("cart", 0, evict=True, reason="errors")

    control.adopt(reason="restored")


def test_without_the_outbox(control, place, tmp_path):
    """
    Where the outbox cannot be read no dial is changed; a rollback is done all the same, and says that it does not know.
    """
    path = tmp_path / "outbox.db"
    path.write_text("no database, and long enough to be taken for none" * 20)
    with cutover.control(place, actor="rina", outbox=f"sqlite:///{path}") as other:
        with pytest.raises(cutover.StoreError):
            other.set("cart", 20, reason="on")
        proposal = other.preview.rollback("cart")
        other.rollback("cart", reason="errors")

    assert any("what OLD lacks of mirrored writes is not known" in note for note in proposal.notes)
    assert control.snapshot().dials["cart"] == 0


def test_nobody_writes(place, tmp_path):
    """
    Where nothing was ever written, dials are changed as ever, and nothing is made.
    """
    path = tmp_path / "outbox.db"
    with cutover.control(place, actor="rina", outbox=f"sqlite:///{path}") as control:
        control.apply(SHOP)
        control.set("cart", 10, reason="begin")

    assert not path.exists()


def test_no_outbox():
    """
    Where no outbox is named and the store cannot be one, asking for it says how to name it.
    """
    with pytest.raises(ConfigurationError, match="--outbox URL or set CUTOVER_OUTBOX"):
        _ = Mirrors.of(None, "redis://localhost").outbox


def test_chosen(monkeypatch):
    """
    A given outbox goes before the variable, and that before the store.
    """
    assert Mirrors.of(None, "memory:store").outbox.url == "memory:store"
    monkeypatch.setenv("CUTOVER_OUTBOX", "memory:variable")
    assert Mirrors.of(None, "memory:store").outbox.url == "memory:variable"
    assert Mirrors.of("memory:given", "memory:store").outbox.url == "memory:given"


def test_status_shows_no_user(control, outbox):
    """
    The status holds no key, no argument and no text of an error, unless that is asked for.
    """
    lacking(outbox, state=State.UNDELIVERED)
    status = control.mirrors.status("shop")
    (dead,) = status.document()["dead"]
    (shown,) = status.document(shows=True)["dead"]

    assert "user-1" not in str(status.document())
    assert "secret" not in str(status.document())
    assert (dead["error"], dead["lacking"], dead["state"]) == ("OSError", "new", "undelivered")
    assert (shown["error"], shown["key"]) == ("OSError: of user-1", '"user-1"')
    assert "user-1" not in repr(status)


def test_retry(control, outbox):
    """
    What was undelivered is delivered again; what is unknown is asked about where it can be, unless told otherwise.
    """
    outbox.register("shop", Rule(flow="cart", name="cart.remove"))
    lost = lacking(outbox, state=State.UNDELIVERED)
    unknown = lacking(outbox, "user-2", state=State.UNCONFIRMED)
    nobody = lacking(outbox, "user-3", state=State.UNCONFIRMED, write="cart.remove")
    said = {"actor": "rina", "reason": "fixed", "at": NOON}
    assert control.mirrors.retry("shop", None, **said) == [lost.id, unknown.id, nobody.id]
    taken = outbox.take("shop", ["cart cart.add", "cart cart.remove"], "second", 60, 10)

    assert [one.state for one in sorted(taken, key=lambda one: one.id)] == [
        State.PENDING,
        State.UNKNOWN,
        State.PENDING,
    ]


def test_retry_without_asking(control, outbox):
    """
    An operator who knows that a write happened has it delivered without asking.
    """
    unknown = lacking(outbox, state=State.UNCONFIRMED)
    control.mirrors.retry("shop", [unknown.id], actor="rina", reason="seen", at=NOON, deliver=True)
    (taken,) = outbox.take("shop", ["cart cart.add"], "second", 60, 10)

    assert taken.state is State.PENDING


def test_drop(control, outbox):
    """
    What is dropped is gone, and who did it why stays on record.
    """
    dead = lacking(outbox, state=State.UNDELIVERED)
    assert control.mirrors.drop("shop", [dead.id], actor="rina", reason="refunded", at=NOON) == [dead.id]
    status = control.mirrors.status("shop")

    assert status.dead == ()
    assert [(act.verb, act.actor, act.reason, act.ids) for act in status.acts] == [
        ("drop", "rina", "refunded", (dead.id,))
    ]


def test_unknown_ids(control, outbox):
    """
    Where one of the ids is no dead letter, nothing is done to the others.
    """
    dead = lacking(outbox, state=State.UNDELIVERED)
    alive = lacking(outbox, "user-2")
    for act in (control.mirrors.retry, control.mirrors.drop):
        with pytest.raises(Refused, match=f"no dead letter has the id {alive.id};"):
            act("shop", [dead.id, alive.id], actor="rina", reason="wrong", at=NOON)

    assert [one.id for one in outbox.dead("shop", 10)] == [dead.id]


def test_no_dead_letters(control, outbox):
    """
    Dealing with all where there is none does nothing, and leaves no record.
    """
    assert control.mirrors.drop("shop", None, actor="rina", reason="none", at=NOON) == []
    assert outbox.acts("shop", 10) == []


def test_closed(control, outbox):
    """
    Whoever closes the operator's side lets go of the outbox.
    """
    lacking(outbox)
    control.mirrors.status("shop")
    control.close()

    with pytest.raises(Unavailable):
        control.mirrors.status("shop")


def stages(control):
    """
    Give the stage of each flow as the status shows it.
    """
    return {flow["name"]: flow["stage"] for flow in control.status().document()["flows"]}


def test_stages(control, outbox):
    """
    The status derives from dials, and from who mirrors writes, how far a flow's data have been moved.
    """
    assert stages(control) == {"cart": "live", "pay": "off"}
    control.set("cart", 0, shadow=5, reason="compare first")
    assert stages(control)["cart"] == "shadow"
    control.set("cart", 0, shadow=0, reason="no more")
    assert stages(control)["cart"] == "mirror"
    control.set("cart", 100, reason="all")
    control.set("pay", 100, reason="all")
    assert stages(control) == {"cart": "ramp-down", "pay": "complete"}


def test_stage_when_nobody_mirrors_any_more(control, outbox, monkeypatch):
    """
    A write that no process has put on record for long is mirrored no more.
    """
    control.set("cart", 100, reason="all")
    monkeypatch.setattr("cutover.operations.mirroring.LONGEST_SILENCE", 0.0)

    assert stages(control)["cart"] == "complete"


def test_stage_that_nobody_knows(tmp_path, place):
    """
    Where the outbox cannot be read, the status is shown all the same, without stages.
    """
    path = tmp_path / "outbox.db"
    path.write_text("no database, and long enough to be taken for none" * 20)
    with cutover.control(place, actor="rina", outbox=f"sqlite:///{path}") as control:
        control.apply(SHOP)

        assert stages(control) == {"cart": None, "pay": None}


def test_stages_are_shown(control, outbox):
    """
    The table names the stages of the flows whose writes are mirrored, and is without them where there are none.
    """
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(status_view(control.status(), width=100))
    shown = console.export_text()

    assert "Data: cart live" in shown
    assert "pay complete" not in shown


def test_a_flow_whose_writes_are_mirrored_keeps_its_name(control, outbox):
    """
    Writes are kept and counted under the flow's name, so a rename is refused while a process makes them, or one lacks.
    """
    renamed = attrs.evolve(SHOP, flows={"basket": Flow(name="basket", was=("cart",)), "pay": Flow(name="pay")})
    with pytest.raises(Refused, match="cart cannot be renamed while its writes are mirrored"):
        control.apply(renamed, confirm=True)

    assert control.apply(attrs.evolve(SHOP, flows={"cart": Flow(name="cart"), "pays": Flow(name="pays", was=("pay",))}))
