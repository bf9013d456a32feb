"""
The page of faults lists what is played, and nothing else.
"""

import re
from pathlib import Path

from faults.scenarios import SCENARIOS

PAGE = Path(__file__).parents[2] / "docs/reference/faults.md"
ROW = re.compile(r"^\| `(\w+)` \| [^|]+ \| ([a-z, ]+) \|", re.MULTILINE)


def test_page():
    """
    The page has one row for each scenario, with the stores that it is played on.
    """
    rows = ROW.findall(PAGE.read_text())

    assert sorted(rows) == sorted((name, ", ".join(kinds)) for name, (_, kinds) in SCENARIOS.items())
