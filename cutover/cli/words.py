"""
How values read in a terminal: percentages, ages, counts, changes. Pure functions from values to text.
"""

import unicodedata
from collections.abc import Mapping
from datetime import datetime, timedelta, tzinfo
from fractions import Fraction
from typing import Any, Final

from cutover.core.bucketing import PARTS
from cutover.core.ledger import Change
from cutover.core.percent import format_percent

__all__ = ["age", "ago", "count", "describe", "moment", "percent", "plain", "short", "span"]

THOUSAND: Final = 1000
ONE_DECIMAL: Final = 99.95  # from here on, one decimal would be written with five characters
SHORT_HASH: Final = 12
MINUTE: Final = 60
HOUR: Final = 3600
DAY: Final = 86400
UNITS: Final = (("d", 86400), ("h", 3600), ("m", 60), ("s", 1))


def plain(text: str) -> str:
    """
    Make a stranger's text safe for one line of a terminal: no control or direction characters, no line breaks.
    """
    one_line = " ".join(text.split())
    return "".join("�" if unicodedata.category(c) in ("Cc", "Cf", "Cs") else c for c in one_line)


def percent(ratio: Fraction | None, unknown: str = "-") -> str:
    """
    Write a measured ratio with one decimal; 100% only where it is exactly that, and 0% likewise.
    """
    if ratio is None:
        return unknown
    if ratio in (0, 1):
        return f"{int(ratio * 100)}%"
    return f"{min(max(float(ratio) * 100, 0.1), 99.9):.1f}%"


def count(number: int) -> str:
    """
    Write a count in at most five characters.
    """
    if number < 10 * THOUSAND:
        return str(number)
    value = float(number)
    for unit in "kMGTP":
        value /= THOUSAND
        if value < THOUSAND:
            return f"{value:.1f}{unit}" if value < ONE_DECIMAL else f"{int(value)}{unit}"
    return f"{value:.0e}"


def age(span: timedelta) -> str:
    """
    Write a span with its largest unit, such as "3d", "2h", "10m" or "4s".
    """
    seconds = max(int(span.total_seconds()), 0)
    name, size = next(((name, size) for name, size in UNITS if seconds >= size), UNITS[-1])
    return f"{seconds // size}{name}"


def ago(span: timedelta) -> str:
    """
    Write how long ago something was with its largest unit, such as "2 s ago" or "10 min ago".
    """
    text = age(span)
    unit = {"m": "min"}.get(text[-1], text[-1])
    return f"{text[:-1]} {unit} ago"


def span(left: timedelta) -> str:
    """
    Write a span with its two largest units, such as "2h 10m" or "45s"; never as shorter than it is.
    """
    seconds = max(-(-left // timedelta(seconds=1)), 0)
    shown = HOUR if seconds >= DAY else MINUTE if seconds >= HOUR else 1  # the smaller of the two units
    seconds = -(-seconds // shown) * shown
    words = []
    for name, size in UNITS:
        amount, seconds = divmod(seconds, size)
        if amount:
            words.append(f"{amount}{name}")
    return " ".join(words[:2]) or "0s"


def moment(instant: datetime, *, now: datetime, zone: tzinfo) -> str:
    """
    Write an instant in a zone: the time of a day that is today, else the day and the time.
    """
    local = instant.astimezone(zone)
    if local.date() == now.astimezone(zone).date():
        return f"{local:%H:%M:%S}"
    return f"{local:%Y-%m-%d %H:%M}"


def short(version: int, hash_: str) -> str:
    """
    Name a change by its version and the beginning of its hash.
    """
    return f"{version}:{hash_[:SHORT_HASH]}"


def describe(change: Change) -> str:
    """
    Say in a few words what a change did.
    """
    return asked(change.verb, change.arguments)


def asked(verb: str, arguments: Mapping[str, Any]) -> str:
    """
    Say in a few words what was asked for.
    """
    match verb:
        case "set":
            return _set(arguments)
        case "rollback":
            return f"rollback {arguments.get('target') or 'every flow'}"
        case "override":
            side = arguments.get("side")
            place = f"to {plain(str(side)).upper()}" if side else "taken back"
            return f"override {arguments.get('target')}, the user at {_parts(arguments.get('position'))}: {place}"
        case "work":
            return f"work {arguments.get('item')} {_parts(arguments.get('parts'))}"
        case "adopt":
            return f"adopt epoch {arguments.get('epoch')}"
        case "dead":
            who = arguments.get("who") or str(arguments.get("instance"))[:8]
            return plain(f"dead {who}")
        case "rehome":
            things = sum(n for name in ("moved", "already", "new") if isinstance(n := arguments.get(name), int))
            return plain(f"rehome {arguments.get('kind')}, {things} in all")
        case _:
            return plain(verb)


def _set(arguments: Mapping[str, Any]) -> str:
    words = ["set", str(arguments.get("target"))]
    cohort, parts, shadow = (arguments.get(name) for name in ("cohort", "parts", "shadow"))
    if parts is not None or cohort or shadow is None:  # else the dial was left as it was
        words.append(_parts(parts))
    if cohort:
        words.append(f"for {cohort}")
    if isinstance(shadow, int):
        words.append(f"shadow {_parts(shadow)}")
    words += [text for name, text in (("evict", "evict"), ("all_cohorts", "all cohorts")) if arguments.get(name)]
    return plain(" ".join(words))


def _parts(parts: object) -> str:
    if parts is None:
        return "inherit"
    return format_percent(parts) if isinstance(parts, int) and 0 <= parts <= PARTS else str(parts)
