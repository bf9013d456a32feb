"""
How comparisons read in a terminal.
"""

import io
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from rich.console import Console

from cutover.cli.comparing import _lines, _table
from cutover.core.verdict import Mismatch, Verdict
from cutover.operations.comparing import FlowComparisons

AT = datetime(2024, 3, 4, 20, tzinfo=UTC)


def flow_with(**numbers):
    """
    Give a flow with these verdicts.
    """
    verdicts = dict.fromkeys(Verdict, 0) | {Verdict(name): number for name, number in numbers.items()}
    return FlowComparisons(flow="browse", shadow=5_000, verdicts=verdicts)


WORDS = [
    ({}, ["nothing was compared yet"]),
    ({"dropped": 5}, ["5 dropped", "more comparisons were given up than made: these shares are of the faster ones"]),
    (
        {"match": 1938, "mismatch": 62},
        ["1938 match, 62 mismatch", "3.1% (2.4 to 4.0) differ: OLD's own variation was not measured"],
    ),
    (
        {"match": 1938, "mismatch": 62, "noise_match": 499, "noise_mismatch": 1},
        [
            "1938 match, 62 mismatch, 499 noise_match, 1 noise_mismatch",
            "3.1% (2.4 to 4.0) differ; OLD differs from itself in 0.2% (0.0 to 1.1): more than OLD's own variation",
        ],
    ),
    (
        {"match": 10, "noise_match": 10},
        [
            "10 match, 10 noise_match",
            ("0.0% (0.0 to 27.8) differ; OLD differs from itself in 0.0% (0.0 to 27.8): within OLD's own variation"),
        ],
    ),
]


@pytest.mark.parametrize(("numbers", "said"), WORDS)
def test_words(numbers, said):
    """
    A flow's numbers are told in whole sentences: the rate, the noise beside it, and whether they can be told apart.
    """
    assert list(_lines(flow_with(**numbers))) == [
        "browse: 5% of the keys are compared",
        *(f"  {line}" for line in said),
    ]


def test_a_mismatch_is_shown_safely():
    """
    A place is named with what stands there for each side; a stranger's text moves no cursor and marks nothing up.
    """
    mismatches = (
        Mismatch(flow="browse", at=AT, differences=(("items.0", "int", "absent"), ("", "[red]x", "\x1b[2J"))),
        Mismatch(flow="browse", at=AT, differences=()),
    )
    out = io.StringIO()
    Console(file=out, width=100).print(_table(mismatches, ZoneInfo("Asia/Jakarta")))

    assert [line.split() for line in out.getvalue().splitlines()] == [
        ["WHEN", "WHERE", "OLD", "NEW"],
        ["2024-03-05", "03:00:00", "items.0", "int", "absent"],
        ["(the", "answer)", "[red]x", "\ufffd[2J"],
        ["2024-03-05", "03:00:00", "(as", "compare", "says)"],
    ]
