"""
What the ledger says of things that were copied.
"""

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import snapshots

from cutover.core import changes
from cutover.errors import Refused

COUNTS = st.fixed_dictionaries({name: st.integers(0, 2**53 - 1) for name in ("moved", "already", "new")})
DIGEST = "ab" * 32


@given(snapshots(), COUNTS, st.booleans())
def test_rehome(snapshot, counts, is_done):
    """
    A rehome changes no dial, says how many of which kind by one digest, and is refused while frozen unless it is done.
    """
    thawed, frozen = attrs.evolve(snapshot, frozen=False), attrs.evolve(snapshot, frozen=True)

    proposal = changes.rehome(thawed, "order", counts, DIGEST, is_done=is_done)

    assert (proposal.verb, proposal.before, proposal.after) == ("rehome", thawed, thawed)
    assert proposal.arguments == {"kind": "order", **counts, "sha256": DIGEST}
    assert not proposal.moves
    assert not proposal.is_empty
    if is_done:
        assert changes.rehome(frozen, "order", counts, DIGEST, is_done=True).after == frozen
    else:
        with pytest.raises(Refused, match="frozen, and rehome would bring things to NEW; unfreeze first"):
            changes.rehome(frozen, "order", counts, DIGEST)
