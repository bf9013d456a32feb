"""
Writing for a fleet of two versions of the library.
"""

import json
from datetime import UTC, datetime
from types import MappingProxyType

import pytest

from cutover.core.checkin import LEASE, CheckIn
from cutover.operations import commit

BORN = datetime(2026, 1, 1, tzinfo=UTC)


def schemas_of(control):
    """
    The schemas of the last change and of the snapshot, as they are stored.
    """
    reading = control.store.read(control.migration)
    return json.loads(control.history_texts()[-1])["schema"], json.loads(reading.document)["schema"]


@pytest.mark.parametrize(
    ("fleet", "schema"),
    [
        ([], "1.0"),
        ([(1,), (1, 2)], "1.0"),
        ([(1, 2), (1, 2)], "1.0"),
        ([(2,), (2, 3)], "2.0"),
        ([(1,), (2,)], "1.0"),
    ],
)
def test_lowest_major_of_the_live_fleet(control, store, clock, monkeypatch, fleet, schema):
    """
    Writers keep to the lowest major that every live instance reads; where there is none a dial can be moved all the
    same. Lost instances are not asked.
    """
    monkeypatch.setattr(commit, "WRITES", MappingProxyType({1: "1.0", 2: "2.0"}))
    reports = [("lost", (9,), clock() - 2 * LEASE), *((f"live{n}", majors, clock()) for n, majors in enumerate(fleet))]
    for name, majors, at in reports:
        report = CheckIn(
            instance=name, sequence=1, at=at, host="h", pid=1, started=BORN, library="0.1.0", majors=majors
        )
        store.check_in(control.migration, report, now=at)

    control.set("browse", 10, reason="two versions")

    assert schemas_of(control) == (schema, schema)
