"""
Flows that get another name: what was kept under the old name goes on under the new one.
"""

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

import attrs

from cutover.core.defined import Flow, Journey, Wrong
from cutover.core.migration import Migration
from cutover.core.snapshot import Snapshot
from cutover.errors import Refused

__all__ = ["checked", "former_names", "rename_keys", "renamed", "renames", "renames_of", "renames_told"]

V = TypeVar("V")


def renames(flows: Iterable[str], former: Mapping[str, str], was: Mapping[str, Iterable[str]]) -> dict[str, str]:
    """
    Give by old name the new name of each flow that a definition renames.

    A flow that is there already under its new name is not renamed any more.

    Args:
        flows: The names that there are before.
        former: By a name that one of these flows had before, the name that it has.
        was: By flow of the later definition, the names that it had before, latest first.
    """
    known = set(flows)
    found: dict[str, str] = {}
    for name, earlier in was.items():
        sources = (former.get(old, old) for old in earlier)
        source = next((old for old in sources if old in known and old not in was), None)
        if name not in known and source is not None:
            found.setdefault(source, name)
    return found


def renames_of(before: Migration, after: Migration) -> dict[str, str]:
    """
    Give by old name the new name of each flow that the later of two definitions renames.
    """
    return renames(before.flows, before.former, {flow.name: flow.was for flow in after.flows.values()})


def renames_told(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, str]:
    """
    Give the same of the documents of two definitions; an empty document has no flows.
    """
    was, now = (former_names(document.get("flows", ())) for document in (before, after))
    return renames(was, {old: flow for flow, names in was.items() for old in names}, now)


def checked(before: Migration, after: Migration) -> Migration:
    """
    Check the former names of a definition against the definition that it replaces, and complete them.

    A chain of renames is kept: a flow also goes by the names that its own former name had before.

    Raises:
        Refused: If a flow cannot have had such a name.
    """
    names = renames_of(before, after)
    for flow in after.flows.values():
        _check(flow, before, after, names)
    flows = {flow.name: _completed(flow, before, after) for flow in after.flows.values()}
    try:
        return attrs.evolve(after, flows=flows)
    except Wrong as error:
        raise Refused(str(error)) from error


def renamed(snapshot: Snapshot, definition: Migration) -> Snapshot:
    """
    Give a snapshot as it would be if its flows had the names that a later definition gives them.

    Evictions are kept under both names: tokens of visits that go on hold the old one.
    """
    names = renames_of(snapshot.definition, definition)
    if not names:
        return snapshot
    evictions = dict(snapshot.evictions)
    for old, new in names.items():
        if old in evictions:
            evictions[new] = max(evictions[old], evictions.get(new, evictions[old]))
    return attrs.evolve(
        snapshot,
        definition=_renamed_definition(snapshot.definition, names),
        dials=rename_keys(snapshot.dials, names),
        cohort_dials=rename_keys(snapshot.cohort_dials, names),
        overrides=rename_keys(snapshot.overrides, names),
        shadows=rename_keys(snapshot.shadows, names),
        turned=rename_keys(snapshot.turned, names),
        evictions=evictions,
    )


def rename_keys(values: Mapping[str, V], names: Mapping[str, str]) -> dict[str, V]:
    """
    Give a mapping by flow with other names for some of them.
    """
    return {names.get(name, name): value for name, value in values.items()}


def _renamed_definition(definition: Migration, names: Mapping[str, str]) -> Migration:
    flows = {names.get(flow.name, flow.name): flow for flow in definition.flows.values()}
    journeys = {journey.name: _renamed_journey(journey, names) for journey in definition.journeys.values()}
    return attrs.evolve(
        definition,
        flows={name: attrs.evolve(flow, name=name, was=()) for name, flow in flows.items()},
        journeys=journeys,
    )


def _renamed_journey(journey: Journey, names: Mapping[str, str]) -> Journey:
    return attrs.evolve(journey, flows=tuple(names.get(flow, flow) for flow in journey.flows))


def _check(flow: Flow, before: Migration, after: Migration, names: Mapping[str, str]) -> None:
    if not flow.was:
        return
    sources = [before.current(name) for name in flow.was]
    there = [name for name in sources if name in before.flows and name != flow.name]
    where = f"flows.{flow.name}.was"
    if flow.name in before.flows:
        if there:
            raise Refused(
                f"{where} names {there[0]!r}, and the migration has both {there[0]!r} and {flow.name!r}; "
                "allowed: remove one of them first"
            )
        return
    if flow.name in before.journeys:
        raise Refused(f"{where} renames a flow to {flow.name!r}, which is a journey; allowed: rename the journey first")
    if not any(names.get(name) == flow.name for name in there):
        taken = [name for name in there if name in after.flows or name in names]
        reason = f"which is {taken[0]!r} now" if taken else "which the migration never had"
        known = ", ".join(name for name in before.flows if name not in after.flows) or "none, as no flow is removed"
        raise Refused(
            f"{where} is {', '.join(flow.was)}, {reason}; allowed: a flow that this definition removes ({known})"
        )


def _completed(flow: Flow, before: Migration, after: Migration) -> Flow:
    if not flow.was:
        return flow
    sources = (before.flows.get(before.current(name)) for name in flow.names)
    earlier = dict.fromkeys(name for source in sources if source is not None for name in source.names)
    taken = {*after.flows, *after.journeys, *after.former}
    return attrs.evolve(flow, was=(*flow.was, *(name for name in earlier if name not in taken)))


def former_names(flows: Iterable[Mapping[str, Any]]) -> dict[str, tuple[str, ...]]:
    """
    Give by flow the names that it had before, from the flows of a definition's document.
    """
    return {flow["name"]: tuple(flow.get("was", ())) for flow in flows}
