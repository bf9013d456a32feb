"""
What the shops show of their articles: the same prices, but for a mistake that was planted in NEW.
"""

from collections.abc import Callable, Mapping
from decimal import ROUND_HALF_UP, Decimal
from typing import Final
from zlib import crc32

__all__ = ["Rounding", "half_even", "half_up", "prices_shown"]

Rounding = Callable[[Decimal], int]

ARTICLES: Final = 20
SHOWN: Final = 4  # articles of a page
HALVED: Final = 7  # the only article whose reduced price ends on a half
CHEAPEST: Final = 20_000  # rupiah
REDUCED: Final = Decimal("0.9")


def half_up(amount: Decimal) -> int:
    """
    Round as OLD does.
    """
    return int(amount.quantize(Decimal(1), ROUND_HALF_UP))


def half_even(amount: Decimal) -> int:
    """
    Round as the first release of NEW does, where somebody took Python's `round` for what everybody means.
    """
    return round(amount)


def prices_shown(number: int, rounding: Rounding) -> Mapping[str, int]:
    """
    Give the prices on the page that a step of the replay asks for.
    """
    first = crc32(str(number).encode())
    articles = ((first + place) % ARTICLES for place in range(SHOWN))
    return {f"article-{article}": rounding(_list_price(article) * REDUCED) for article in articles}


def _list_price(article: int) -> int:
    return CHEAPEST + 1000 * article + (5 if article == HALVED else 0)
