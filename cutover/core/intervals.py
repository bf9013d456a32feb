"""
Shares of small samples, and how far they can be trusted.

The interval of one share is Wilson's score interval (E. B. Wilson, "Probable inference, the law of succession, and
statistical inference", J. Am. Stat. Assoc. 22, 1927), without continuity correction. It never leaves 0 to 1, and says
something where nothing was found among a few.

Two shares are told apart by the interval of their difference that Newcombe builds from the two (R. G. Newcombe,
"Interval estimation for the difference between independent proportions", Stat. Med. 17, 1998, method 10).
"""

from fractions import Fraction
from math import hypot, sqrt
from typing import Final, NamedTuple

__all__ = ["Share", "difference"]

Z: Final = 1.959963984540054  # 97.5% of a normal distribution lie below: intervals of 95%


class Share(NamedTuple):
    """
    How many of a number of cases were of a kind.
    """

    found: int
    cases: int

    @property
    def ratio(self) -> Fraction | None:
        """
        The share that was found; None without cases.
        """
        return Fraction(self.found, self.cases) if self.cases else None

    @property
    def interval(self) -> tuple[float, float]:
        """
        Where the true share lies with 95% confidence, from 0 to 1; without cases it may be anything.
        """
        if not self.cases:
            return 0.0, 1.0
        share, square = self.found / self.cases, Z * Z
        center = share + square / (2 * self.cases)
        width = Z * sqrt(share * (1 - share) / self.cases + square / (4 * self.cases * self.cases))
        scale = 1 + square / self.cases
        low = 0.0 if not self.found else (center - width) / scale
        high = 1.0 if self.found == self.cases else (center + width) / scale
        return low, high


def difference(one: Share, other: Share) -> tuple[float, float]:
    """
    Give the interval in which one share minus another lies with 95% confidence, from -1 to 1.
    """
    first, second = (share.found / share.cases if share.cases else 0.5 for share in (one, other))
    (low, high), (other_low, other_high) = one.interval, other.interval
    gap = first - second
    return gap - hypot(first - low, other_high - second), gap + hypot(high - first, second - other_low)
