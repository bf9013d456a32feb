"""
Percentages at the edges, parts inside: 0 to 100% in steps of 0.001% are the integers 0 to 100,000.
"""

from decimal import Context, Decimal, InvalidOperation
from typing import Final

from cutover.core.bucketing import PARTS
from cutover.errors import ConfigurationError

__all__ = ["Percent", "format_percent", "parse_percent"]

Percent = int | float | str | Decimal

PARTS_PER_PERCENT: Final = PARTS // 100
STEP: Final = Decimal("0.001")


def parse_percent(value: object, what: str = "percent") -> int:
    """
    Turn a percentage into parts, exactly.

    Args:
        value: An int, float, Decimal or text; a trailing "%" is allowed.

    Raises:
        ConfigurationError: If it is no number, out of range or finer than 0.001.
    """
    allowed = "0 to 100 in steps of 0.001"
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal | str):
        raise ConfigurationError(f"{what} is {value!r}; allowed: {allowed}")
    if isinstance(value, float):
        value = str(value)  # a float means what it prints: 0.1 is a tenth, not the binary fraction next to it
    if isinstance(value, str) and ("_" in value or not value.isascii()):
        raise ConfigurationError(f"{what} is {value!r}; allowed: {allowed}")
    try:
        number = Decimal(value.strip().removesuffix("%") if isinstance(value, str) else value)
    except InvalidOperation:
        raise ConfigurationError(f"{what} is {value!r}; allowed: {allowed}") from None
    if not number.is_finite() or not 0 <= number <= 100:  # noqa: PLR2004
        raise ConfigurationError(f"{what} is {number}; allowed: {allowed}")
    exact = Context(prec=9)  # whatever precision the application works with
    rounded = exact.quantize(number, STEP)
    if rounded != number:
        raise ConfigurationError(f"{what} is {number}, finer than 0.001; allowed: {allowed}")
    return int(exact.multiply(rounded, PARTS_PER_PERCENT))


def format_percent(parts: int) -> str:
    """
    Write parts as a percentage without trailing zeros, such as "12.345%" or "25%".
    """
    whole, rest = divmod(parts, PARTS_PER_PERCENT)
    return f"{whole}.{rest:03d}".rstrip("0").rstrip(".") + "%"
