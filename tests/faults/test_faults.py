"""
Every fault on the real thing, with the whole history judged at its end.
"""

import pytest

from faults.scenarios import SCENARIOS

PATIENCE = 240.0  # seconds until a scenario counts as hanging
PLAYED = [(name, kind) for name, (_, kinds) in SCENARIOS.items() for kind in kinds]


@pytest.mark.xdist_group("faults")  # one process plays all scenarios, some at a time
@pytest.mark.parametrize(("name", "kind"), PLAYED, ids=[f"{name}-{kind}" for name, kind in PLAYED])
def test_fault(name, kind, verdicts):
    """
    Whatever breaks, requests are routed at once by a version that never goes back, nothing that was promised is lost,
    every request is counted, and all clients come to the last version soon after the repair.
    """
    assert verdicts[name, kind].result(PATIENCE) == []
