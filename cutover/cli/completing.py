"""
What a shell offers after a Tab: names from the store, where looking there is cheap.
"""

import os
from collections.abc import Callable, Iterable

import click
from click.shell_completion import CompletionItem

from cutover.core.snapshot import Snapshot
from cutover.operations.control import control

__all__ = ["cohorts", "dial_values", "flows", "migrations", "only_flows", "sides", "work_items"]

CHEAP = ("sqlite:", "file:", "memory:")  # a shell must not wait for a network

Completer = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


def _names(choose: Callable[[Snapshot], Iterable[str]]) -> Completer:
    def complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        del param
        snapshot = _snapshot(ctx)
        if snapshot is None:
            return []
        return [CompletionItem(name) for name in choose(snapshot) if name.startswith(incomplete)]

    return complete


def _snapshot(ctx: click.Context) -> Snapshot | None:
    store = ctx.params.get("store") or os.environ.get("CUTOVER_STORE", "")
    if not store.startswith(CHEAP):
        return None
    name = ctx.params.get("migration") or os.environ.get("CUTOVER_MIGRATION") or None
    try:
        with control(store, migration=name) as opened:
            return opened.snapshot()
    except Exception:  # noqa: BLE001 - a shell that completes shows nothing rather than an error
        return None


flows: Completer = _names(lambda snapshot: (*snapshot.definition.flows, *snapshot.definition.journeys))
only_flows: Completer = _names(lambda snapshot: snapshot.definition.flows)
cohorts: Completer = _names(lambda snapshot: snapshot.definition.cohorts)
work_items: Completer = _names(lambda snapshot: snapshot.definition.work)


def migrations(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """
    Offer the migrations of the store.
    """
    del param
    store = ctx.params.get("store") or os.environ.get("CUTOVER_STORE", "")
    if not store.startswith(CHEAP):
        return []
    try:
        with control(store) as opened:
            return [CompletionItem(name) for name in opened.store.migrations() if name.startswith(incomplete)]
    except Exception:  # noqa: BLE001 - a shell that completes shows nothing rather than an error
        return []


def dial_values(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """
    Offer common percentages.
    """
    del ctx, param
    values = ("0", "1", "5", "10", "25", "50", "100", "inherit")
    return [CompletionItem(value) for value in values if value.startswith(incomplete)]


def sides(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """
    Offer the sides that an override may have.
    """
    del ctx, param
    return [CompletionItem(side) for side in ("old", "new", "none") if side.startswith(incomplete)]
