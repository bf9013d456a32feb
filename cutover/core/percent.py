"""
Percentages at the edges, parts inside: 0 to 100% in steps of 0.001% are the integers 0 to 100,000.
"""

from decimal import Decimal, InvalidOperation

from cutover.core.bucketing import PARTS
from cutover.errors import ConfigurationError

__all__ = ["format_percent", "parse_percent"]

PARTS_PER_PERCENT = PARTS // 100


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
    text = value.strip().removesuffix("%") if isinstance(value, str) else str(value)
    try:
        number = Decimal(text)
    except InvalidOperation:
        raise ConfigurationError(f"{what} is {value!r}; allowed: {allowed}") from None
    if not number.is_finite() or not 0 <= number <= 100:  # noqa: PLR2004
        raise ConfigurationError(f"{what} is {text}; allowed: {allowed}")
    parts = number * PARTS_PER_PERCENT
    if parts != int(parts):
        raise ConfigurationError(f"{what} is {text}, finer than 0.001; allowed: {allowed}")
    return int(parts)


def format_percent(parts: int) -> str:
    """
    Write parts as a percentage without trailing zeros, such as "12.345%" or "25%".
    """
    whole, rest = divmod(parts, PARTS_PER_PERCENT)
    return f"{whole}.{rest:03d}".rstrip("0").rstrip(".") + "%"
