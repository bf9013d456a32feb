"""
A rollout that is kept in a file, in version control or a ConfigMap: the definition and, beside it, where its dials are.

Whoever edits the file raises `version`; routers follow the higher one. The file keeps no ledger and no overrides.
"""

import hashlib
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final

import attrs

from cutover.core.canonical import encode
from cutover.core.defined import Wrong
from cutover.core.definition import definition_fields, located
from cutover.core.migration import Migration
from cutover.core.percent import parse_percent
from cutover.core.snapshot import NO_HASH, Eviction, Head, Snapshot
from cutover.errors import ConfigurationError

__all__ = ["read_rollout"]

EPOCH: Final = 1
LARGEST_VERSION: Final = 2**53 - 1
PERCENT: Final = "0 to 100 in steps of 0.001"
SECTIONS: Final = ("version", "dials", "cohort_dials", "progress", "shadows", "evict")

Path = tuple[str, ...]


def read_rollout(text: str | bytes, source: str, *, at: datetime) -> Snapshot:
    """
    Read a definition with `version` and `[dials]`, and perhaps `[cohort_dials.COHORT]`, `[progress]`, `[shadows]` and
    `[evict]`.

    Every flow needs its dial: one that is left out is a mistake, never 0%.

    Args:
        source: What to call the text in errors.
        at: When the file was changed; aware, UTC.

    Returns:
        A snapshot whose hash is the SHA-256 of what the file says, however it is written.

    Raises:
        ConfigurationError: If the text is wrong: the key, the line and what is allowed.
    """
    with located(text, source) as document:
        sections: dict[str, Any] = {name: document.pop(name) for name in SECTIONS if name in document}
        snapshot = _snapshot(Migration(**definition_fields(document)), sections, at)
    content = encode({"version": snapshot.version, "state": snapshot.state()})
    head = attrs.evolve(snapshot.head, hash=hashlib.sha256(content.encode()).hexdigest())
    return attrs.evolve(snapshot, head=head)


def _snapshot(definition: Migration, sections: Mapping[str, Any], at: datetime) -> Snapshot:
    version = _version(sections)
    dials = _percents(("dials",), _table(("dials",), sections.get("dials", {})), definition.flows)
    for flow in definition.flows:
        if flow not in dials:
            raise Wrong(("dials", flow), "is missing", PERCENT)
    return Snapshot(
        definition=definition,
        head=Head(EPOCH, version, NO_HASH),
        at=at,
        dials=dials,
        cohort_dials=_cohort_dials(definition, _table(("cohort_dials",), sections.get("cohort_dials", {}))),
        work=dict.fromkeys(definition.work, 0)
        | _percents(("progress",), _table(("progress",), sections.get("progress", {})), definition.work),
        shadows=_percents(("shadows",), _table(("shadows",), sections.get("shadows", {})), definition.flows),
        evictions=_evictions(definition, _table(("evict",), sections.get("evict", {})), version),
    )


def _version(sections: Mapping[str, Any]) -> int:
    allowed = f"1 to {LARGEST_VERSION}, higher with each edit"
    if "version" not in sections:
        raise Wrong(("version",), "is missing", allowed)
    version = sections["version"]
    if type(version) is not int or not 1 <= version <= LARGEST_VERSION:
        raise Wrong(("version",), f"is {_shown(version)}", allowed)
    return version


def _cohort_dials(definition: Migration, cohorts: Mapping[str, Any]) -> dict[str, dict[str, int]]:
    """
    Read by cohort, as operators think of it, and give by flow, as snapshots keep it.
    """
    by_flow: dict[str, dict[str, int]] = {}
    _check_names(("cohort_dials",), cohorts, definition.cohorts)
    for cohort, dials in cohorts.items():
        path = ("cohort_dials", cohort)
        for flow, parts in _percents(path, _table(path, dials), definition.flows).items():
            by_flow.setdefault(flow, {})[cohort] = parts
    return by_flow


def _evictions(definition: Migration, given: Mapping[str, Any], version: int) -> dict[str, Eviction]:
    _check_names(("evict",), given, definition.flows)
    evictions: dict[str, Eviction] = {}
    for flow, number in given.items():
        if type(number) is not int or not 1 <= number <= version:
            raise Wrong(("evict", flow), f"is {_shown(number)}", f"1 to {version}, the version that ends visits on NEW")
        for member in definition.names_of(definition.together_with(flow)):
            evictions[member] = max(Eviction(EPOCH, number), evictions.get(member, Eviction(EPOCH, number)))
    return evictions


def _table(path: Path, value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise Wrong(path, f"is {_shown(value)}", f"a table [{'.'.join(path)}]")
    return value


def _percents(path: Path, given: Mapping[str, Any], known: Iterable[str]) -> dict[str, int]:
    _check_names(path, given, known)
    parts = {}
    for name, value in given.items():
        try:
            parts[name] = parse_percent(value)
        except ConfigurationError as error:
            raise Wrong((*path, name), f"is {_shown(value)}", PERCENT) from error
    return parts


def _check_names(path: Path, given: Iterable[str], known: Iterable[str]) -> None:
    known = tuple(known)
    for name in given:
        if name not in known:
            raise Wrong((*path, name), "is unknown", ", ".join(known) or "none, as none is defined")


def _shown(value: object) -> str:
    try:
        text = repr(value)
    except ValueError:  # Python prints no integer of thousands of digits
        return "a number too large to show"
    return text if len(text) <= 60 else text[:57] + "..."  # noqa: PLR2004 - as much as one line takes
