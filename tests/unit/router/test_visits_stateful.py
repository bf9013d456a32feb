"""
No user is ever split, whatever users, routers and operators do meanwhile; and a rule that is broken is found.
"""

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.internal.conjecture.providers import HypothesisProvider
from hypothesis.stateful import run_state_machine_as_test
from mutants import Mutant
from visit_machine import VisitMachine
from visit_model import Split

from cutover.core import changes, visit
from cutover.core.visit import Claims
from cutover.engines.memory.homes import MemoryEngine
from cutover.router import journey
from cutover.router.flow import Flow
from cutover.router.journey import Journey, JourneyPlan
from cutover.router.tokens import Tokens

HONEST = settings(max_examples=200, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
# Many short searches find more than a long one, which begins with many small examples. By its seed each mutant is
# found in the first; the others are for a later hypothesis, which draws differently; the rarest takes dozens.
HUNT = settings(HONEST, max_examples=40, database=None, phases=[Phase.generate], print_blob=False)
SEARCHES = 250

MUTANTS = [
    Mutant(
        rule="what was entered at the version of an eviction is not evicted by it",
        owner=visit,
        name="_evicted",
        was="claims.order < evictions",
        now="claims.order <= evictions",
    ),
    Mutant(
        rule="epochs go before versions",
        owner=visit,
        name="_evicted",
        was="claims.order < evictions.get(flow, UNVERSIONED)",
        now="claims.order[1] < evictions.get(flow, UNVERSIONED)[1]",
    ),
    Mutant(
        rule="what goes together is evicted together",
        owner=visit,
        name="_evicted",
        was="on_new if together and late else ",
        now="",
        seed=3,
    ),
    Mutant(
        rule="who is on OLD is not evicted",
        owner=visit,
        name="_evicted",
        was="if side is Backend.NEW",
        now="",
    ),
    Mutant(
        rule="who is evicted goes where the flags say",
        owner=journey,
        name="resumed",
        was="sides[flow] = decide(flow)\n        else",
        now="sides[flow] = Backend.OLD\n        else",
        seed=1,
    ),
    Mutant(
        rule="a flow that left the journey is evicted too",
        owner=journey,
        name="resumed",
        was="del sides[flow]",
        now="pass",
    ),
    Mutant(
        rule="a flow that left the journey keeps its side",
        owner=journey,
        name="resumed",
        was="return _with_former(sides, former),",
        now="return {flow: side for flow, side in sides.items() if flow in flows},",
    ),
    Mutant(
        rule="a flow that came into the journey follows the others",
        owner=journey,
        name="resumed",
        was="followed or decide(flow)",
        now="decide(flow)",
    ),
    Mutant(
        rule="where the others are on both sides, it follows those on OLD",
        owner=visit,
        name="_followed",
        was="Backend.OLD if Backend.OLD in others else Backend.NEW",
        now="Backend.NEW if Backend.NEW in others else Backend.OLD",
        seed=48,
    ),
    Mutant(
        rule="what was entered before anything was known stays on OLD",
        owner=visit,
        name="_followed",
        was="Backend.OLD if claims.order == UNVERSIONED else None",
        now="None",
    ),
    Mutant(
        rule="a visit ends when it was idle too long",
        owner=Claims,
        name="is_over",
        was="self.expires",
        now="self.until",
    ),
    Mutant(
        rule="clocks may differ by a minute",
        owner=Claims,
        name="is_over",
        was=" + SKEW_SECONDS",
        now="",
    ),
    Mutant(
        rule="an active visit is given a token in time",
        owner=Claims,
        name="is_due",
        was="min(RENEW_AFTER, self.idle // 4)",
        now="self.idle",
    ),
    Mutant(
        rule="what moved is written into the token",
        owner=journey,
        name="_is_news",
        was="sides != claims.sides or ",
        now="",
    ),
    Mutant(
        rule="what is evicted is written into the token, also where it stays",
        owner=Journey,
        name="enter",
        was="renamed or evicted or",
        now="renamed or",
    ),
    Mutant(
        rule="a token that is written anew has heeded what its router knows",
        owner=Journey,
        name="_claims",
        was="max(claims.order, plan.order)",
        now="claims.order",
    ),
    Mutant(
        rule="a router that is behind does not take back what was heeded",
        owner=Journey,
        name="_claims",
        was="max(claims.order, plan.order)",
        now="plan.order",
    ),
    Mutant(
        rule="each step keeps a visit from being idle",
        owner=Journey,
        name="_claims",
        was="seen = max(claims.seen, now)",
        now="seen = claims.seen",
    ),
    Mutant(
        rule="no step lengthens the time to live",
        owner=Journey,
        name="_claims",
        was="seen=seen)",
        now="seen=seen, until=now + claims.until - claims.born)",
    ),
    Mutant(
        rule="a token is bound to its key",
        owner=Tokens,
        name="is_bound",
        was="return ",
        now="return True or ",
    ),
    Mutant(
        rule="who logs in takes over the visit of one guest only",
        owner=Journey,
        name="_brought",
        was="was is not None and self.tokens.is_bound(claims, signer, was)",
        now="was is not None",
        seed=1,
    ),
    Mutant(
        rule="a login does not end the visit",
        owner=Journey,
        name="_brought",
        was="was is not None and self.tokens.is_bound(claims, signer, was)",
        now="False",
    ),
    Mutant(
        rule="the cohort goes on with the visit",
        owner=Journey,
        name="_cohort",
        was="return claims.cohort",
        now="return None",
        seed=2,
    ),
    Mutant(
        rule="a home goes before what the token says",
        owner=Journey,
        name="enter",
        was="if home is not UNSET:",
        now="if home is not UNSET and claims is None:",
    ),
    Mutant(
        rule="the break-glass file moves visits",
        owner=JourneyPlan,
        name="sides",
        was="self._forced(sides) if self.lines else sides",
        now="sides",
    ),
    Mutant(
        rule="a thing at home is served there",
        owner=Flow,
        name="_find",
        was="return self._at_home(plan, home), None",
        now="return plan.resolve(key, cohort)",
    ),
    Mutant(
        rule="what comes into the journey within a request follows the visit",
        owner=Flow,
        name="_find",
        was="plan.together == key.journey",
        now="False",
        seed=94,
    ),
    Mutant(
        rule="a rollback evicts",
        owner=changes,
        name="rollback",
        was="after = _evicted(after, flows)",
        now="after = after",
        seed=1,
    ),
    Mutant(
        rule="an adopt evicts",
        owner=changes,
        name="adopt",
        was="_evicted(attrs.evolve(snapshot, head=head), snapshot.definition.flows)",
        now="attrs.evolve(snapshot, head=head)",
    ),
    Mutant(
        rule="the first claim of a payment attempt holds",
        owner=MemoryEngine,
        name="claim",
        was="if _side(rows, id_, now) is None:",
        now="if True:",
        seed=2,
    ),
]


@pytest.fixture
def own_draws(monkeypatch):
    """
    Let a seed draw the same whatever ran before: hypothesis mixes in constants of all modules that are loaded.
    """
    monkeypatch.setattr(HypothesisProvider, "_maybe_draw_constant", lambda *_, **__: None, raising=False)


def test_never_split():
    """
    Whatever users, routers and operators do, nobody is split but by a home, a line, an eviction or a lost token.
    """
    run_state_machine_as_test(VisitMachine, settings=HONEST)


def hunt(first: int) -> None:
    """
    Search until somebody is split.
    """
    for number in range(first, first + SEARCHES):
        hunted = type("Hunted", (VisitMachine,), {})
        run_state_machine_as_test(seed(number)(hunted), settings=HUNT)


@pytest.mark.usefixtures("own_draws")
@pytest.mark.parametrize("mutant", MUTANTS, ids=str)
def test_broken_rule_is_found(monkeypatch, mutant):
    """
    Where one rule is broken, the search that holds for the product finds somebody who is split.
    """
    monkeypatch.setattr(mutant.owner, mutant.name, mutant.function())

    with pytest.raises(Split):
        hunt(mutant.seed)
