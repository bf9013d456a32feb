"""
Explanations: what every rule says, and that the one that decides agrees with the decision.
"""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cutover.core.backend import UNSET, Backend
from cutover.core.checkin import CheckIn
from cutover.errors import ConfigurationError
from cutover.operations.control import Control


@pytest.fixture
def busy(control):
    """
    A migration with dials, a cohort's dial and an override.
    """
    control.set("browse", 50, reason="x")
    control.set("browse", 80, cohort="staff", reason="x")
    control.override("browse", "user-42", "old", reason="x")
    return control


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    key=st.sampled_from([None, "", "user-42", "user-1", "user-2", 7, b"x", "\ud800"]),
    cohort=st.sampled_from([None, "staff"]),
    home=st.sampled_from([UNSET, None, "old", "modern", Backend.NEW, "elsewhere", []]),
    flow=st.sampled_from(["browse", "pay"]),
)
def test_the_deciding_rule_agrees_with_the_decision(busy: Control, key, cohort, home, flow):
    """
    Exactly one rule decides, and it names the side of the decision.
    """
    found = busy.explain(flow, key, cohort=cohort, home=home)

    (deciding,) = [rule for rule in found.rules if rule.decides]
    assert deciding.backend is found.decision.backend
    names = {"home_unknown": "home", "no_key": "cohort" if cohort and flow == "browse" else "percent"}
    reason = found.decision.reason.value
    assert deciding.name == names.get(reason, reason)


def test_all_rules_stand_in_their_order(busy):
    """
    Rules that do not apply are listed too, with what they say.
    """
    document = busy.explain("browse", "user-1", cohort="staff").document()

    names = ["home", "break-glass", "visit", "override", "cohort", "percent"]
    assert [rule["rule"] for rule in document["rules"]] == names
    assert "below staff's dial of 80%" in document["rules"][4]["says"]
    assert "user-1" not in str(document)


def test_break_glass_is_known_from_check_ins(busy, store, clock):
    """
    Instances that obey their own file for a flow are counted, as those are which obey one for every flow.
    """
    for pid, lines in ((1, ("browse",)), (2, ("*",)), (3, ("pay",)), (4, ())):
        report = CheckIn(
            instance=f"{pid:032d}",
            sequence=1,
            at=clock.now,
            host="h",
            pid=pid,
            started=clock.now,
            library="1",
            break_glass=lines,
        )
        store.check_in("shop", report, now=clock.now)

    assert busy.explain("browse", "k").rules[1].says.startswith("2 of 4 instances")


def test_unknown_names_are_errors(busy):
    """
    A flow or cohort that is not there is an error that lists those which are.
    """
    with pytest.raises(ConfigurationError, match="browse, cart, pay"):
        busy.explain("nothing", "k")
    with pytest.raises(ConfigurationError, match="staff"):
        busy.explain("pay", "k", cohort="nobody")


def test_a_flow_that_is_held_says_by_whom(control):
    """
    The dial that holds is explained with the flow that it comes from.
    """
    control.set("cart", 50, reason="x")

    assert (
        control.explain("cart", "k")
        .rules[-1]
        .says.endswith("cart is set to 50%, limited to 0% by pay (lowest in purchase)")
    )
