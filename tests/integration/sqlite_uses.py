"""
Everything that one can do with a store, and that all of it is refused.
"""

import pytest

from cutover.testing.store_helpers import MIGRATION, check_in, head_of, write


def uses(store):
    """
    Everything that one can do with a store that has version 2.
    """
    return [
        store.migrations,
        lambda: store.read(MIGRATION),
        lambda: store.history(MIGRATION),
        lambda: store.fleet(MIGRATION),
        lambda: check_in(store),
        lambda: write(store, head_of(2)),
    ]


def refused(store, error, match):
    """
    Check that every use is refused.
    """
    for use in uses(store):
        with pytest.raises(error, match=match):
            use()
