"""
What a change changes, in pairs.
"""

from uuid import uuid4

import attrs
import pytest

from cutover.cli.differences import differences, said, told
from cutover.core.migration import Migration
from cutover.engines.registry import open_store
from cutover.operations.control import Control

TEXT = 'name = "m"\nold = "a"\nnew = "b"\n[flows.pay]\n[work.texts]\n[cohorts.staff]\n'
DEFINITION = Migration.parse(TEXT)


@pytest.fixture
def control():
    """
    The operator of an applied migration with a cohort's dial.
    """
    made = Control(open_store(f"memory:{uuid4().hex}"), actor="rina")
    made.apply(DEFINITION)
    made.set("pay", 5, cohort="staff", reason="x")
    return made


@pytest.mark.parametrize(
    ("preview", "shown"),
    [
        (lambda p: p.set("pay", 25), ["pay: 0% -> 25%"]),
        (lambda p: p.set("pay", 7, cohort="staff"), ["pay, cohort staff: 5% -> 7%"]),
        (lambda p: p.set("pay", None, cohort="staff"), ["pay, cohort staff: 5% -> inherit"]),
        (lambda p: p.set("pay", 0), []),
        (lambda p: p.rollback("pay"), ["pay, cohort staff: 5% -> 0%"]),
        (lambda p: p.freeze(), ["frozen: no -> yes"]),
        (lambda p: p.work("texts", 40), ["texts: 0% -> 40%"]),
        (lambda p: p.override("pay", "k", "new"), ["overrides of pay: 0 -> 1"]),
        (lambda p: p.adopt(), ["epoch: 1 -> 2"]),
        (
            lambda p: p.apply(attrs.evolve(DEFINITION, work={}), confirm=True),
            ["work.texts.title: texts -> none", "work.texts.weight: 1 -> none"],
        ),
        (
            lambda p: p.apply(Migration.parse(TEXT + "[flows.cart]\nweight = 2\n[journeys.buy]\nflows = ['cart']\n")),
            [
                "flows.cart.weight: none -> 2",
                "journeys.buy.flows: none -> cart",
                "journeys.buy.together: none -> True",
                "journeys.buy.idle_seconds: none -> 1800",
                "journeys.buy.ttl_seconds: none -> 14400",
            ],
        ),
        (
            lambda p: p.apply(attrs.evolve(DEFINITION, name="other")),
            ["migration other: none -> pay 0%"],
        ),
    ],
)
def test_each_verb_shows_what_it_changes(control, preview, shown):
    """
    What is another after a change is listed with before and after, and nothing else is.
    """
    assert [str(difference) for difference in differences(preview(control.preview))] == shown


APPLIED = [
    (TEXT.replace("[flows.pay]", "[flows.pay]\n[flows.wish]\n[flows.cart]"), "adds flows wish, cart"),
    (TEXT.replace("[work.texts]\n", ""), "removes work item texts"),
    (
        TEXT.replace("[flows.pay]", '[flows.charge]\nwas = "pay"\nweight = 2'),
        "renames flow pay to charge; flows.charge.weight: 1 -> 2",
    ),
    (TEXT.replace("[flows.pay]", "[flows.pay]\nweight = 2"), "flows.pay.weight: 1 -> 2"),
    (TEXT.replace("[flows", "deadline = 2027-01-31\n[flows"), "deadline: none -> 2027-01-31"),
    (TEXT + '[journeys.buy]\nflows = ["pay"]\n', "adds journey buy"),
]


@pytest.mark.parametrize(("text", "said"), APPLIED, ids=[said for _, said in APPLIED])
def test_what_an_apply_did(control, text, said):
    """
    An apply is told with the names that it renamed, added and removed, and every value that it changed.
    """
    control.apply(Migration.parse(text), confirm=True)

    assert [what for _, what in told(control.history(), {})] == [
        "apply: adds flow pay; adds work item texts; adds cohort staff",
        "set pay 5% for staff",
        f"apply: {said}",
    ]


@pytest.mark.parametrize(("text", "words"), APPLIED, ids=[words for _, words in APPLIED])
def test_what_an_apply_would_do(control, text, words):
    """
    A definition that is about to be applied is described in the words of the history.
    """
    assert "; ".join(said(control.preview.apply(Migration.parse(text), confirm=True))) == words


def test_a_renamed_flow_of_a_journey_is_said_once(control):
    """
    The journey that lists a renamed flow under its new name has not changed.
    """
    text = TEXT + '[journeys.buy]\nflows = ["pay"]\n'
    control.apply(Migration.parse(text))
    renamed = text.replace("[flows.pay]", '[flows.charge]\nwas = "pay"').replace('["pay"]', '["charge"]')

    assert said(control.preview.apply(Migration.parse(renamed))) == ("renames flow pay to charge",)
    control.apply(Migration.parse(renamed))
    assert told(control.history(), {})[-1][1] == "apply: renames flow pay to charge"
