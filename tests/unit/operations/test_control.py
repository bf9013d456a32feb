"""
The verbs of operators, over a real store in memory.
"""

import threading

import attrs
import pytest

from cutover.core.backend import Backend
from cutover.core.ledger import Expectation
from cutover.core.migration import Migration
from cutover.errors import ConfigurationError, Conflict, Refused
from cutover.operations.control import Control
from cutover.operations.control import control as make_control

MUTATIONS = {
    "apply": lambda c: c.apply(attrs.evolve(c.snapshot().definition, title="Another title")),
    "set": lambda c: c.set("pay", 25, reason="week 3"),
    "rollback": lambda c: c.rollback("pay", reason="time-outs"),
    "freeze": lambda c: c.freeze(reason="holidays"),
    "unfreeze": lambda c: c.unfreeze(reason="over"),
    "override": lambda c: c.override("pay", "user-42", "new", reason="tester"),
    "work": lambda c: c.work("texts", 40, reason="done so far"),
    "adopt": lambda c: c.adopt(reason="restored"),
}


def prepare(control, verb):
    """
    Bring about what a verb then changes.
    """
    if verb == "unfreeze":
        control.freeze(reason="holidays")


@pytest.mark.parametrize("verb", MUTATIONS)
def test_each_verb_is_one_version(control, verb):
    """
    Every accepted verb adds one change that names who, why and what, and the ledger still verifies.
    """
    prepare(control, verb)
    before = control.snapshot().version

    change = MUTATIONS[verb](control)

    assert (change.version, change.verb, change.actor) == (before + 1, verb, "rina")
    assert control.snapshot().head.hash == change.hash
    assert control.history()[-1] == change
    assert control.verify().ok


@pytest.mark.parametrize(
    ("verb", "arguments"),
    {
        "set": ("pay", 25),
        "freeze": (),
        "unfreeze": (),
        "override": ("pay", "user-42", "new"),
        "work": ("texts", 40),
        "adopt": (),
    }.items(),
)
def test_expect_guards_each_verb(control, verb, arguments):
    """
    A verb that expects another version is a conflict and writes nothing; one that expects the head is done.
    """
    prepare(control, verb)
    head = control.snapshot().head

    with pytest.raises(Conflict) as caught:
        getattr(control, verb)(*arguments, reason="x", expect=head.version + 1)
    assert control.snapshot().head == head
    assert caught.value.actual == f"{head.version}:{head.hash}"

    change = getattr(control, verb)(*arguments, reason="x", expect=f"{head.version}:{head.hash[:8]}")
    assert change.previous == head.hash


@pytest.mark.parametrize("expect", [1, "1", Expectation(1)])
def test_expect_takes_numbers_text_and_values(control, expect):
    """
    What is expected may be given as a number, as text or as a value.
    """
    assert control.set("pay", 5, reason="x", expect=expect).version == 2


def test_expect_of_another_head_is_a_conflict(control):
    """
    The right version with another hash is another history.
    """
    with pytest.raises(Conflict):
        control.set("pay", 5, reason="x", expect=f"1:{'0' * 64}")


def test_apply_of_the_same_definition_adds_nothing(control, definition):
    """
    An apply without difference gives the change that holds, and no version.
    """
    set_ = control.set("pay", 25, reason="x")

    assert control.apply(definition) == set_
    assert control.snapshot().version == 2


def test_apply_that_moves_keys_needs_confirmation(control, definition):
    """
    A definition under which keys would move is refused with the list of moves, unless it is confirmed.
    """
    control.set("browse", 50, reason="x")
    journeys = {"purchase": attrs.evolve(definition.journeys["purchase"], flows=("browse", "cart", "pay"))}
    moving = attrs.evolve(definition, journeys=journeys)

    with pytest.raises(Refused) as caught:
        control.apply(moving)
    assert any("50% of browse's users move from NEW to OLD" in line for line in caught.value.details)
    assert control.snapshot().version == 2

    assert control.apply(moving, confirm=True).version == 3


def test_the_first_apply_can_expect_nothing_to_be_there(store, definition):
    """
    Version 0 stands for a migration that is not there yet.
    """
    control = Control(store, actor="rina")

    with pytest.raises(Conflict):
        control.apply(definition, expect=1)
    assert control.apply(definition, expect=0).version == 1
    with pytest.raises(Conflict):
        control.apply(definition, expect=0)


def test_the_first_apply_draws_a_secret(store, definition):
    """
    Each migration gets a secret of its own with its first change, of 256 random bits.
    """
    other = attrs.evolve(definition, name="other")
    for each in (definition, other):
        Control(store, actor="rina").apply(each)

    secrets = {store.read(name).secret for name in ("shop", "other")}
    assert {len(secret) for secret in secrets} == {32}
    assert len(secrets) == 2


def test_rollback_works_while_frozen(control):
    """
    Nothing refuses a rollback, and it takes the whole of a together journey to OLD.
    """
    control.set("purchase", 50, reason="x")
    control.freeze(reason="x")
    with pytest.raises(Refused):
        control.set("purchase", 60, reason="x")

    control.rollback("pay", reason="time-outs")

    assert dict(control.snapshot().dials) == {"browse": 0, "cart": 0, "pay": 0}
    assert control.snapshot().frozen


def test_rollback_of_none_is_of_every_flow(control):
    """
    Rolling back without a target takes every flow to OLD.
    """
    control.set("browse", 100, reason="x")
    control.set("purchase", 50, reason="x")

    control.rollback(None, reason="stop")

    assert set(control.snapshot().dials.values()) == {0}


def test_a_refused_verb_leaves_no_trace(control):
    """
    What is refused or wrong leaves the version and the ledger as they were.
    """
    control.freeze(reason="x")
    texts = list(control.history_texts())
    for wrong in (
        lambda: control.set("browse", 50, reason="x"),
        lambda: control.set("pay", 101, reason="x"),
        lambda: control.set("pay", "0.0001", reason="x"),
        lambda: control.set("nothing", 5, reason="x"),
        lambda: control.set("pay", 5, reason="x", cohort="nobody"),
        lambda: control.override("pay", "", "new", reason="x"),
        lambda: control.override("pay", "k", "elsewhere", reason="x"),
        lambda: control.work("nothing", 5, reason="x"),
        lambda: control.rollback("nothing", reason="x"),
        lambda: control.unfreeze(reason=" "),
        lambda: control.unfreeze(reason="x", expect="what"),
    ):
        with pytest.raises((ConfigurationError, Refused)):
            wrong()
    assert list(control.history_texts()) == texts


@pytest.mark.parametrize("side", ["new", "modern", Backend.NEW])
def test_override_takes_every_name_of_a_side(control, side):
    """
    A side goes by its role, its own name or the value; the key routes there, and the ledger does not hold the key.
    """
    control.override("pay", "user-42", side, reason="tester")

    assert control.explain("pay", "user-42").decision.backend is Backend.NEW
    assert not any("user-42" in text for text in control.history_texts())
    assert "user-42" not in control.export_snapshot()


def test_override_of_none_takes_it_back(control):
    """
    An override that is taken back leaves none.
    """
    control.override("pay", "user-42", "new", reason="x")
    control.override("pay", "user-42", None, reason="x")

    assert control.snapshot().overrides == {}


def test_cohort_dials_inherit_again(control):
    """
    A cohort's dial stands beside the flow's until it inherits again.
    """
    control.set("browse", 100, cohort="staff", reason="x")
    assert control.snapshot().effective_parts("browse", "staff") == 100_000

    control.set("browse", "inherit", cohort="staff", reason="x")
    assert control.snapshot().effective_parts("browse", "staff") == 0


PREVIEWS = {
    "apply": lambda p, d: p.apply(attrs.evolve(d, title="Another title")),
    "set": lambda p, d: p.set("pay", 25),
    "rollback": lambda p, d: p.rollback("pay"),
    "freeze": lambda p, d: p.freeze(),
    "unfreeze": lambda p, d: p.unfreeze(),
    "override": lambda p, d: p.override("pay", "user-42", "new"),
    "work": lambda p, d: p.work("texts", 40),
    "adopt": lambda p, d: p.adopt(),
}


@pytest.mark.parametrize("verb", PREVIEWS)
def test_preview_writes_nothing(control, definition, verb):
    """
    A dry run gives what the verb would do, and leaves the store as it was.
    """
    prepare(control, verb)
    texts = list(control.history_texts())

    proposal = PREVIEWS[verb](control.preview, definition)

    assert proposal.verb == verb
    assert list(control.history_texts()) == texts
    assert MUTATIONS[verb](control).arguments == proposal.arguments


def test_preview_says_whom_it_would_move(control):
    """
    A dry run lists the moves by flow.
    """
    (move,) = control.preview.set("browse", 25).moves

    assert (move.flow, move.before, move.after, move.to_new) == ("browse", 0, 25_000, True)


def test_preview_raises_what_the_verb_would(control):
    """
    A dry run of something that is refused or in conflict says so.
    """
    control.freeze(reason="x")
    with pytest.raises(Refused):
        control.preview.set("browse", 5)
    with pytest.raises(Conflict):
        control.preview.unfreeze(expect=1)


def test_without_a_name_the_only_migration_is_meant(store, definition):
    """
    None or several migrations without a name are an error that names them.
    """
    with pytest.raises(ConfigurationError, match="none"):
        make_control(store).snapshot()
    Control(store, actor="rina").apply(definition)
    assert make_control(store).snapshot().migration == "shop"
    Control(store, actor="rina").apply(attrs.evolve(definition, name="other"))
    with pytest.raises(ConfigurationError, match="other, shop"):
        make_control(store).snapshot()
    assert make_control(store, migration="other").snapshot().migration == "other"


def test_a_control_without_a_name_applies_any_definition(store, definition):
    """
    Which migration was meant first does not bind a control that was never told a name.
    """
    control = make_control(store)
    control.apply(definition)
    control.set("pay", 5, reason="x")

    assert control.apply(attrs.evolve(definition, name="other")).migration == "other"
    assert set(store.migrations()) == {"other", "shop"}


def test_a_definition_of_another_name_is_an_error(store, definition):
    """
    A control of one migration does not apply the definition of another.
    """
    with pytest.raises(ConfigurationError, match="'shop'"):
        Control(store, actor="rina", migration="other").apply(definition)


def test_verbs_on_a_migration_that_is_not_there(store):
    """
    A verb before the first apply says that a definition must be applied.
    """
    with pytest.raises(ConfigurationError, match="apply"):
        Control(store, actor="rina", migration="shop").set("pay", 5, reason="x")


def test_a_source_that_is_only_read_takes_no_change(tmp_path, control):
    """
    An exported snapshot can be looked at as a source, and refuses to be written to.
    """
    path = tmp_path / "snapshot.json"
    path.write_text(control.export_snapshot())
    reader = make_control(f"file:{path}")

    assert reader.status().version == 1
    with pytest.raises(ConfigurationError, match="only read"):
        reader.set("pay", 5, reason="x")
    reader.close()


def test_racing_writers_lose_no_change(store, definition):
    """
    Without an expectation a verb that lost a race is computed again: no change is lost and none is made twice.
    """
    make_control(store).apply(definition)

    def write(name):
        mine = make_control(store, actor=name)
        for percent in range(10):
            mine.set("pay", 10 * int(name[1:]) + percent + 1, reason="race")

    threads = [threading.Thread(target=write, args=(f"w{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    changes = make_control(store).history()
    assert [change.version for change in changes] == list(range(1, 42))
    by_actor = [[c.arguments["parts"] for c in changes if c.actor == f"w{n}"] for n in range(4)]
    assert by_actor == [[1000 * (10 * n + i + 1) for i in range(10)] for n in range(4)]
    assert make_control(store).verify().ok


def test_history_after_a_version(control):
    """
    The history above a version holds the later changes only, as they were stored.
    """
    control.set("pay", 5, reason="a")
    control.set("pay", 6, reason="b")

    assert [change.reason for change in control.history(after=1)] == ["a", "b"]
    assert [change.encode() for change in control.history()] == list(control.history_texts())


def test_adopt_goes_above_every_epoch(control):
    """
    Adopting raises the epoch, and the ledger still verifies.
    """
    control.adopt(reason="restored")

    assert control.snapshot().epoch == 2
    assert control.verify().ok


def test_close_leaves_a_store_object_open(store, definition):
    """
    A store that was given as an object is the caller's to close.
    """
    with make_control(store) as control:
        control.apply(definition)

    assert store.migrations()


def test_changes_by_others_are_seen(store, control):
    """
    What another operator wrote is read before the next look, however often this one looked already.
    """
    assert control.status().version == 1
    make_control(store, actor="budi").set("pay", 7, reason="x")

    assert control.status().version == 2
    assert control.snapshot().dials["pay"] == 7000


def test_a_definition_keeps_its_name_salt_and_scheme(control, definition):
    """
    The salt is fixed by the first apply: another one would move users.
    """
    with pytest.raises(Refused, match="salt"):
        control.apply(attrs.evolve(definition, salt="another"))


def test_unicode_texts_come_back_to_the_letter(control):
    """
    Reasons and tickets of any script come back as they were given.
    """
    change = control.set("pay", 1, reason="минимум 🚦 «تجربة» \u2028 ok", ticket="ОПС-1")

    assert control.history()[-1] == change
    assert control.history()[-1].reason == "минимум 🚦 «تجربة» \u2028 ok"
    assert control.verify().ok


def test_load_and_apply(tmp_path, store):
    """
    A definition that was loaded from a file and saved by apply comes back equal.
    """
    path = tmp_path / "cutover.toml"
    path.write_text('name = "m"\nold = "a"\nnew = "b"\n[flows.f]\n')
    definition = Migration.load(path)
    control = make_control(store)

    control.apply(definition)

    assert control.snapshot().definition == definition


SAME = {
    "set": lambda c: c.set("pay", 25, reason="again"),
    "set a journey": lambda c: c.set("purchase", 25, reason="again"),
    "set a cohort": lambda c: c.set("pay", 50, cohort="staff", reason="again"),
    "inherit": lambda c: c.set("cart", "inherit", cohort="staff", reason="again"),
    "set a share": lambda c: c.set("browse", None, shadow=5, reason="again"),
    "override": lambda c: c.override("pay", "user-42", "new", reason="again"),
    "override none": lambda c: c.override("pay", "user-43", None, reason="again"),
    "freeze": lambda c: c.freeze(reason="again"),
    "work": lambda c: c.work("texts", 40, reason="again"),
    "rollback of a flow in no journey": lambda c: c.rollback("browse", reason="again"),
}


@pytest.mark.parametrize("name", SAME)
def test_what_holds_already_writes_no_version(control, name):
    """
    A verb that would change nothing gives the change that holds, adds no version, and can be waited for.
    """
    control.set("purchase", 25, reason="x")
    control.set("pay", 50, cohort="staff", reason="x")
    control.set("browse", None, shadow=5, reason="x")
    control.override("pay", "user-42", "new", reason="x")
    control.work("texts", 40, reason="x")
    if name.startswith("rollback"):
        control.rollback("browse", reason="x")
    last = control.freeze(reason="x")

    assert SAME[name](control) == last
    assert control.snapshot().version == last.version
    assert control.wait(last, timeout=0).is_complete


def test_what_is_not_frozen_is_not_unfrozen_again(control):
    """
    An `unfreeze` of what is not frozen adds no version.
    """
    assert control.unfreeze(reason="x").version == 1


@pytest.mark.parametrize("target", ["pay", "purchase", None])
def test_a_rollback_of_flows_with_visits_is_always_written(control, target):
    """
    A rollback of flows in a journey ends visits on NEW, also where the dials are at 0%: each one adds a version.
    """
    assert control.rollback(target, reason="x").version == 2
    assert control.rollback(target, reason="x").version == 3
