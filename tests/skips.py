"""
Where a test is skipped, nothing was tested: under continuous integration that is a failure.
"""

import os

import pytest


def refused_under_ci(report):
    """
    Turn the report of a skipped test, or of one that was expected to fail, into a failure where CI is "true".
    """
    if os.environ.get("CI") == "true" and report.skipped:
        report.outcome = "failed"
        report.longrepr = f"skipped under CI: {getattr(report, 'wasxfail', report.longreprtext)}"
        report.__dict__.pop("wasxfail", None)
    return report


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport():
    """
    Refuse skipped tests.
    """
    return refused_under_ci((yield))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_make_collect_report():
    """
    Refuse skipped modules.
    """
    return refused_under_ci((yield))
