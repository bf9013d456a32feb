"""
Why a request goes where it goes: every rule in its order, with what it says.
"""

from typing import Any, Final

import attrs

from cutover.core.backend import UNSET, Backend, Decision, Unset, side_of
from cutover.core.break_glass import reached_by
from cutover.core.bucketing import PARTS, digest_of, key_bytes
from cutover.core.checkin import Fleet
from cutover.core.decide import decide
from cutover.core.percent import format_percent
from cutover.core.snapshot import Snapshot
from cutover.errors import ConfigurationError

__all__ = ["Explanation", "Rule", "explanation_of"]

NO_FLEET: Final = Fleet()


@attrs.frozen(kw_only=True)
class Rule:
    """
    One rule and what it says about a request.

    Attributes:
        name: home, break-glass, visit, override, cohort or percent.
        says: In words.
        backend: Where it would send the request; None where it does not apply.
        decides: It is the first that applies.
    """

    name: str
    says: str
    backend: Backend | None = None
    decides: bool = False


@attrs.frozen(kw_only=True)
class Explanation:
    """
    Where a request goes, and what each rule says, in their order.
    """

    decision: Decision
    rules: tuple[Rule, ...]

    def document(self) -> dict[str, Any]:
        """
        Give the explanation as a JSON object. It does not hold the key.
        """
        return {
            "flow": self.decision.flow,
            "backend": self.decision.backend.value,
            "reason": self.decision.reason.value,
            "version": self.decision.version,
            "position": self.decision.position,
            "rules": [
                {
                    "rule": rule.name,
                    "says": rule.says,
                    "backend": None if rule.backend is None else rule.backend.value,
                    "decides": rule.decides,
                }
                for rule in self.rules
            ],
        }


def explanation_of(
    snapshot: Snapshot,
    flow: str,
    key: object,
    *,
    cohort: str | None = None,
    home: object | Unset = UNSET,
    secret: bytes | None = None,
    fleet: Fleet = NO_FLEET,
) -> Explanation:
    """
    Explain a decision.

    Break-glass files and visits belong to router processes and to clients: of the former the check-ins tell, the
    latter are not known here.

    Args:
        flow: A flow's name.

    Raises:
        ConfigurationError: If there is no such flow or cohort.
    """
    definition = snapshot.definition
    flow = definition.current(flow)
    for what, name, known in (("flow", flow, definition.flows), ("cohort", cohort, definition.cohorts)):
        if name is not None and name not in known:
            raise ConfigurationError(f"there is no {what} {name!r}; allowed: {', '.join(known) or 'none is defined'}")
    decision = decide(snapshot, flow, key, cohort=cohort, home=home, secret=secret)
    rules = [
        _home(snapshot, home),
        _break_glass(snapshot, flow, fleet),
        Rule(name="visit", says="a token of the client; not known to the store"),
        _override(snapshot, flow, key, secret),
        _cohort(snapshot, flow, cohort, decision.position),
        _percent(snapshot, flow, decision.position),
    ]
    first = next((index for index, rule in enumerate(rules) if rule.backend is not None), None)
    rules = [attrs.evolve(rule, decides=index == first) for index, rule in enumerate(rules)]
    return Explanation(decision=decision, rules=tuple(rules))


def _home(snapshot: Snapshot, home: object | Unset) -> Rule:
    if home is UNSET:
        return Rule(name="home", says="not given")
    side = side_of(home, snapshot.definition.sides())
    if side is None:
        return Rule(name="home", says=f"{home!r} is no side of this migration", backend=Backend.OLD)
    says = "unmarked, so older than the migration" if home is None else f"lives on {side.value.upper()}"
    return Rule(name="home", says=says, backend=side)


def _break_glass(snapshot: Snapshot, flow: str, fleet: Fleet) -> Rule:
    lines = reached_by(snapshot.definition, flow)
    found = sum(not lines.isdisjoint(report.break_glass) for report in fleet.instances)
    if not found:
        return Rule(name="break-glass", says="no instance reports a line for it")
    return Rule(name="break-glass", says=f"{found} of {len(fleet.instances)} instances obey a line of their own file")


def _override(snapshot: Snapshot, flow: str, key: object, secret: bytes | None) -> Rule:
    overrides = snapshot.effective_overrides(flow)
    data = key_bytes(key)
    if not overrides or data is None:
        return Rule(name="override", says="none in this flow" if not overrides else "there is no key")
    if secret is None:
        return Rule(
            name="override", says=f"{len(overrides)} in this flow, ignored: the source does not give the secret"
        )
    found = overrides.get(digest_of(secret, data))
    if found is None:
        return Rule(name="override", says=f"none for this key, {len(overrides)} for others")
    return Rule(name="override", says=f"this key is put on {found.backend.value.upper()}", backend=found.backend)


def _cohort(snapshot: Snapshot, flow: str, cohort: str | None, position: int | None) -> Rule:
    if cohort is None:
        return Rule(name="cohort", says="none given")
    if not snapshot.has_cohort_dial(flow, cohort):
        return Rule(name="cohort", says=f"{cohort} has no dial of its own here")
    return _dial("cohort", f"{cohort}'s", snapshot.effective_parts(flow, cohort), position)


def _percent(snapshot: Snapshot, flow: str, position: int | None) -> Rule:
    limit = snapshot.limit_of(flow)
    rule = _dial("percent", "the", snapshot.effective_parts(flow), position)
    return rule if limit is None else attrs.evolve(rule, says=f"{rule.says}; {flow} is {limit}")


def _dial(name: str, whose: str, parts: int, position: int | None) -> Rule:
    dial = f"{whose} dial of {format_percent(parts)}"
    if position is None:
        side = Backend.NEW if parts == PARTS else Backend.OLD
        reason = "there is no key to place" if 0 < parts < PARTS else "no key is needed"
        return Rule(name=name, says=f"{reason} for {dial}", backend=side)
    side = Backend.NEW if position < parts else Backend.OLD
    where = "below" if position < parts else "above" if position > parts else "not below"
    return Rule(name=name, says=f"this user is at {format_percent(position)}, {where} {dial}", backend=side)
