"""
What a relay lets through to its store.
"""

import json

import attrs
import pytest
from servers.relay import DEFINITION

from cutover.core import changes
from cutover.core.canonical import encode
from cutover.core.ledger import Change, seal
from cutover.core.migration import Migration
from cutover.core.snapshot import Head
from cutover.errors import Refused
from cutover.operations import intents
from cutover.operations.intents import Basis
from cutover.server.checks import check_written


@pytest.fixture
def step(control, clock):
    """
    The third change of the migration as its writer sends it.
    """
    before = control.snapshot()
    change, after = seal(changes.set_dial(before, "pay", 1000), at=clock(), actor="rina", reason="on")
    return {
        "expect": before.head,
        "head": after.head,
        "change": change.encode(),
        "snapshot": after.encode(),
        "document": before.encode(),
    }


def edited(text, **fields):
    """
    Change fields of a document, and write it canonically again.
    """
    return encode(json.loads(text) | fields)


def resealed(step, **fields):
    """
    Change fields of the change, and give it the hash of what it says then, everywhere.
    """
    change = attrs.evolve(Change.decode(step["change"]), **fields)
    # the hash is of the document without itself, which only the ledger knows how to make
    sealed = attrs.evolve(change, hash=_hash_of(change))
    head = attrs.evolve(step["head"], hash=sealed.hash)
    return {
        **step,
        "change": sealed.encode(),
        "head": head,
        "snapshot": edited(step["snapshot"], head=sealed.hash),
    }


def _hash_of(change):
    import hashlib

    document = change.document()
    del document["hash"]
    return hashlib.sha256(encode(document).encode()).hexdigest()


def test_the_next_change(step):
    """
    A change that is what it says passes, also when it was sealed by another writer.
    """
    check_written("shop", **step)
    check_written("shop", **resealed(step, reason="another"))


def test_the_first_change(clock):
    """
    The first change of a migration begins with nothing.
    """
    intent = intents.apply(Migration.parse(DEFINITION))
    proposal = intent(Basis(migration="shop", snapshot=None))
    change, after = seal(proposal, at=clock(), actor="rina", reason="on")
    check_written("shop", expect=None, head=after.head, change=change.encode(), snapshot=after.encode(), document=None)


FORGERIES = {
    "another migration": (lambda s: {"migration": "other"}, "is of 'shop'"),
    "effects": (lambda s: resealed(s, effects={"dials": {"pay": 99_000}}), "effects do not lead"),
    "link": (lambda s: resealed(s, previous="e" * 64), "it follows"),
    "version": (lambda s: resealed(s, version=9), "it is version 9"),
    "hash": (lambda s: s | {"change": edited(s["change"], reason="forged")}, "hash that it names"),
    "spelling": (lambda s: s | {"change": s["change"].replace(":", ": ", 1)}, "hash that it names"),
    "dial": (lambda s: s | {"snapshot": s["snapshot"].replace('"pay":1000', '"pay":1001')}, "effects do not lead"),
    "snapshot's spelling": (lambda s: s | {"snapshot": s["snapshot"] + " "}, "not canonical"),
    "snapshot's time": (
        lambda s: s | {"snapshot": edited(s["snapshot"], at="2026-01-01T00:00:00.000000Z")},
        "another time",
    ),
    "head": (lambda s: s | {"head": Head(1, 3, "d" * 64)}, "the writer names"),
    "poison": (lambda s: s | {"snapshot": s["snapshot"].replace('"pay":1000', '"pay":101000')}, "cannot be read"),
    "no change": (lambda s: s | {"change": "{}"}, "cannot be read"),
    "blank": (lambda s: s | {"snapshot": ""}, "cannot be read"),
}


@pytest.mark.parametrize(("forge", "says"), FORGERIES.values(), ids=FORGERIES)
def test_forgeries(step, forge, says):
    """
    A change that is not what it says is refused, and the answer names what is wrong.
    """
    forged = step | forge(step)
    with pytest.raises(Refused) as caught:
        check_written(forged.pop("migration", "shop"), **forged)

    assert any(says in line for line in (str(caught.value), *caught.value.details))


def test_unknown_fields(step):
    """
    What a newer library put into a state passes, where the effects say so: readers ignore it.
    """
    newer = resealed(step, effects={"dials": {"pay": 1000}, "later": {"x": 1}})
    document = json.loads(newer["snapshot"])
    document["state"]["later"] = {"x": 1}
    check_written("shop", **newer | {"snapshot": encode(document)})
