"""
Reading `cutover.toml`: every mistake becomes one error that names the key, the line and what is allowed.
"""

import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, Final, TypeVar

from cutover.core.bucketing import SCHEME
from cutover.core.defined import Cohort, Flow, Journey, WorkItem, Wrong
from cutover.errors import ConfigurationError

__all__ = ["definition_fields", "located", "parse_duration"]

T = TypeVar("T")
Path = tuple[str, ...]

UNITS: Final = {"d": "days", "h": "hours", "m": "minutes", "s": "seconds"}
DURATION: Final = re.compile(r"(?:(\d{1,9})d)?(?:(\d{1,9})h)?(?:(\d{1,9})m)?(?:(\d{1,9})s)?", re.ASCII)
BYTE_ORDER_MARK: Final = "\ufeff"  # Windows editors put one first


@contextmanager
def located(text: str | bytes, source: str) -> Iterator[dict[str, Any]]:
    """
    Parse TOML for a block that reads it: a `Wrong` that the block raises becomes the error that names the line.

    Raises:
        ConfigurationError: If the text is no TOML, or the block found a key that is wrong.
    """
    try:
        text = (text.decode() if isinstance(text, bytes) else text).removeprefix(BYTE_ORDER_MARK)
        document = tomllib.loads(text)
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{source} is not UTF-8: {error}") from error
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(f"{source} is not TOML: {error}") from error
    try:
        yield document
    except Wrong as wrong:
        line = _line_of(wrong.path, text)
        raise ConfigurationError(f"{source}, line {line}: {wrong}") from wrong


def parse_duration(text: str) -> timedelta | None:
    """
    Read "90s", "30m", "4h", "1h30m" or "2d"; None for anything else.
    """
    match = DURATION.fullmatch(text)
    if not text or match is None:
        return None
    amounts = zip(UNITS.values(), match.groups(), strict=True)
    try:
        return timedelta(**{unit: int(amount) for unit, amount in amounts if amount})
    except OverflowError:
        return None


def definition_fields(document: dict[str, Any]) -> dict[str, Any]:
    """
    Read the fields of a `Migration` from a parsed document. The migration checks what they are together.

    Raises:
        Wrong: If a key is unknown, missing or wrong.
    """
    top = _Table((), document)
    name = top.text("name")
    fields = {
        "name": name,
        "title": top.text("title", default=name),
        "old": top.text("old"),
        "new": top.text("new"),
        "started": top.day("started"),
        "deadline": top.day("deadline"),
        "timezone": top.text("timezone", default="UTC"),
        "salt": top.text("salt", default=name),
        "scheme": top.text("scheme", default=SCHEME),
        "flows": top.tables("flows", _flow),
        "journeys": top.tables("journeys", _journey),
        "work": top.tables("work", _work_item),
        "cohorts": top.tables("cohorts", _cohort),
    }
    top.done()
    return fields


def _flow(name: str, table: "_Table") -> Flow:
    return Flow(name=name, weight=table.weight("weight"), was=table.former("was"))


def _journey(name: str, table: "_Table") -> Journey:
    flows, together = table.names("flows"), table.boolean("together", default=True)
    ttl = table.duration("ttl", default=timedelta(hours=4))
    return Journey(
        name=name,
        flows=flows,
        together=together,
        idle=table.duration("idle", default=min(timedelta(minutes=30), ttl)),
        ttl=ttl,
    )


def _work_item(name: str, table: "_Table") -> WorkItem:
    return WorkItem(name=name, title=table.text("title", default=name), weight=table.weight("weight"))


def _cohort(name: str, table: "_Table") -> Cohort:
    return Cohort(name=name, title=table.text("title", default=name))


class _Table:
    """
    One TOML table being read: each method takes one key of it, `done` refuses what is left.
    """

    def __init__(self, path: Path, values: Mapping[str, Any]) -> None:
        self.path = path
        self.values = dict(values)
        self.known: list[str] = []

    def _take(self, key: str, kind: type[T], allowed: str, default: T | None = None) -> T:
        self.known.append(key)
        if key not in self.values:
            if default is None:
                raise Wrong((*self.path, key), "is missing", allowed)
            return default
        value = self.values.pop(key)
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise Wrong((*self.path, key), f"is {_shown(value)}", allowed)
        return value

    def text(self, key: str, default: str | None = None) -> str:
        value = self._take(key, str, "text in quotes", default)
        if not value.strip() or len(value) > 1000:  # noqa: PLR2004
            raise Wrong((*self.path, key), "is empty or too long", "1 to 1000 characters")
        return value

    def boolean(self, key: str, *, default: bool) -> bool:
        return self._take(key, bool, "true or false", default)

    def weight(self, key: str) -> Decimal:
        number = self._take(key, (int, float), "a positive number", 1)  # type: ignore[arg-type]
        return Decimal(repr(number) if isinstance(number, float) else number)

    def day(self, key: str) -> date | None:
        allowed = "a date without quotes, such as 2024-04-11"
        if key not in self.values:
            self.known.append(key)
            return None
        value = self._take(key, date, allowed)
        if isinstance(value, datetime):
            raise Wrong((*self.path, key), f"is {value}", allowed)
        return value

    def duration(self, key: str, default: timedelta) -> timedelta:
        allowed = 'a duration in quotes, such as "30m", "4h" or "1h30m"'
        text = self._take(key, str, allowed, f"{int(default.total_seconds())}s")
        value = parse_duration(text)
        if value is None:
            raise Wrong((*self.path, key), f"is {text!r}", allowed)
        return value

    def names(self, key: str) -> tuple[str, ...]:
        allowed = 'a list of flows, such as ["cart", "pay"]'
        values = self._take(key, list, allowed)
        if not all(isinstance(value, str) for value in values):
            raise Wrong((*self.path, key), f"is {_shown(values)}", allowed)
        return tuple(values)

    def former(self, key: str) -> tuple[str, ...]:
        allowed = 'a name that the flow had before, such as "payment", or a list of them, latest first'
        values: Any = self._take(key, (str, list), allowed, [])  # type: ignore[arg-type]
        names = [values] if isinstance(values, str) else values
        if not all(isinstance(name, str) for name in names):
            raise Wrong((*self.path, key), f"is {_shown(values)}", allowed)
        return tuple(names)

    def tables(self, key: str, read: Callable[[str, "_Table"], T]) -> dict[str, T]:
        path = (*self.path, key)
        result = {}
        for name, values in self._take(key, dict, f"tables [{key}.NAME]", {}).items():
            if not isinstance(values, dict):
                raise Wrong((*path, name), f"is {_shown(values)}", f"a table [{key}.NAME]")
            table = _Table((*path, name), values)
            result[name] = read(name, table)
            table.done()
        return result

    def done(self) -> None:
        for key in self.values:
            raise Wrong((*self.path, key), "is unknown", ", ".join(self.known))


def _shown(value: object) -> str:
    try:
        text = str(value).lower() if isinstance(value, bool) else repr(value)
    except ValueError:  # Python prints no integer of thousands of digits
        text = "a number too large to show"
    return text if len(text) <= 60 else text[:57] + "..."  # noqa: PLR2004


def _line_of(path: Path, text: str) -> int:
    """
    Find the line on which a key first stands; for a missing key, that of the table it belongs to.

    The parser itself is asked, with ever longer beginnings of the text: no second reading of TOML's rules.
    """
    lines = [line + "\n" for line in text.split("\n")]
    for depth in range(len(path), 0, -1):
        start = 1
        for end in range(1, len(lines) + 1):
            try:
                document: Any = tomllib.loads("".join(lines[:end]))
            except tomllib.TOMLDecodeError:
                continue  # inside a value that goes on over several lines
            if _stands(path[:depth], document):
                return start
            start = end + 1
    return 1


def _stands(path: Path, document: Any) -> bool:
    for key in path:
        if not isinstance(document, dict) or key not in document:
            return False
        document = document[key]
    return True
