"""
Check-ins in PostgreSQL: taken in one round trip, and folded by one process at a time.
"""

from datetime import datetime
from typing import Any

import attrs

from cutover.core.canonical import decode, encode
from cutover.core.checkin import TOO_LATE, CheckIn, Fleet, totals_document
from cutover.engines.postgresql.place import Queries
from cutover.engines.postgresql.schema import own_version
from cutover.engines.postgresql.session import Rows, Transaction
from cutover.engines.writing import add_documents, hour_of, oldest_open, oldest_taken, sums

__all__ = ["fleet", "fold", "is_due", "report_values"]


def report_values(migration: str, report: CheckIn, now: datetime) -> dict[str, Any]:
    """
    Give what the query that takes a report is given.
    """
    minutes = {minute: totals for minute, totals in report.minutes.items() if minute >= oldest_taken(now)}
    return {
        "schema": own_version(),
        "migration": migration,
        "instance": report.instance,
        "sequence": report.sequence,
        "report": attrs.evolve(report, at=now, minutes={}).encode().encode(),
        "closing": report.closing,
        "received": int(now.timestamp()),
        "minutes": list(minutes),
        "totals": [encode(totals_document(totals)).encode() for totals in minutes.values()],
        "oldest": oldest_open(now),
        "before": int((now - TOO_LATE).timestamp()),
    }


def is_due(values: dict[str, Any], *, before: bool) -> bool:
    """
    Tell whether there is something to fold or forget: there was before, or the report brought it.
    """
    return before or any(minute < values["oldest"] for minute in values["minutes"])


def fold(transaction: Transaction, queries: Queries, schema: str, values: dict[str, Any]) -> None:
    """
    Fold old minutes into hours and forget closed instances; left to another process that is at it.

    Whose minutes are folded is locked first: no report of an instance is under way then, and the next one finds what
    was folded marked. Minutes of others wait for the next time.
    """
    of = {name: values[name] for name in ("migration", "oldest", "before")}
    ((is_mine,),) = transaction.run(queries["be_the_folder"], {"lock": f"cutover {schema} {of['migration']}"})
    if not is_mine:
        return
    instances = [instance for (instance,) in transaction.run(queries["lock_instances"], of)]
    if instances:
        rows = transaction.run(queries["take_minutes"], {**of, "instances": instances})
        _add_to_hours(transaction, queries, of, rows)
        last = {instance: minute for instance, minute, _ in sorted(rows)}
        transaction.run(queries["mark_folded"], {**of, "instances": list(last), "minutes": list(last.values())})
    transaction.run(queries["forget_closed"], of)


def fleet(rows: Rows) -> Fleet:
    """
    Read what the query of the fleet gives: kind, number, content.
    """
    by_kind: dict[str | None, list[tuple[int, bytes]]] = {}
    for kind, number, content in rows:
        by_kind.setdefault(kind, []).append((number, content))
    return Fleet(
        instances=tuple(CheckIn.decode(report) for _, report in by_kind.get("instance", ())),
        minutes=sums(by_kind.get("minute", ())),
        hours=sums(by_kind.get("hour", ())),
    )


def _add_to_hours(transaction: Transaction, queries: Queries, of: dict[str, Any], minutes: Rows) -> None:
    numbers = sorted({hour_of(minute) for _, minute, _ in minutes})
    known = transaction.run(queries["some_hours"], {**of, "hours": numbers})
    hours = {hour: decode(totals, "the hour's totals") for hour, totals in known}
    for _, minute, totals in minutes:
        hour = hour_of(minute)
        hours[hour] = add_documents(hours.get(hour, {}), decode(totals, "the minute's totals"))
    texts = [encode(totals).encode() for totals in hours.values()]
    transaction.run(queries["put_hours"], {**of, "hours": list(hours), "totals": texts})
