"""
Which schema is read, and which is written for a fleet of two versions.
"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cutover.core.schema import READS, SCHEMA, WRITES, check_schema, major_to_write, readable_by_all
from cutover.errors import Corrupt

MAJORS = st.frozensets(st.integers(1, 4), min_size=1)


@pytest.mark.parametrize("schema", ["1.0", "1.7", "1.10000"])
def test_known_major(schema):
    """
    Every minor of a major that is known is read.
    """
    check_schema({"schema": schema}, "the document")


@pytest.mark.parametrize("schema", ["2.0", "0.9", "1", "1.", "1.x", "01.0", "", None, 1.0, 1])
def test_unknown_major(schema):
    """
    Any other schema is refused, and the error says what is read.
    """
    with pytest.raises(Corrupt, match=r"^the document has the schema .*; this version reads 1\.x$"):
        check_schema({"schema": schema}, "the document")


def test_what_is_written_can_be_read():
    """
    This version reads all that it writes, and writes the lowest unless told otherwise.
    """
    assert set(WRITES) <= set(READS)
    assert WRITES[min(WRITES)] == SCHEMA
    assert all(schema.startswith(f"{major}.") for major, schema in WRITES.items())


@given(readers=st.lists(MAJORS), writes=MAJORS)
def test_lowest_that_all_read(readers, writes):
    """
    Where all readers read some major that can be written, the lowest such is written; else the lowest of all.
    """
    common = [major for major in writes if all(major in reader for reader in readers)]

    chosen = major_to_write(readers, writes)

    assert chosen == (min(common) if common else min(writes))
    assert readable_by_all(chosen, readers) is bool(common)
