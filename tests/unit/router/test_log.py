"""
The log of the router's threads.
"""

import structlog
from structlog.testing import capture_logs

from cutover.router.log import LOG_GATE, log


def test_goes_to_the_applications_log():
    """
    Events arrive with their facts and levels, in whatever the application configured.
    """
    with capture_logs() as logs:
        log.info("a", flow="pay")
        log.warning("b")
        log.error("c")

    assert logs == [
        {"event": "a", "flow": "pay", "log_level": "info"},
        {"event": "b", "log_level": "warning"},
        {"event": "c", "log_level": "error"},
    ]


def test_a_failing_log_is_no_failure():
    """
    Where the application's log raises, nothing comes back, and the gate is free again.
    """

    def fail(*_):
        raise BrokenPipeError(32, "Broken pipe")

    structlog.configure(processors=[fail])
    try:
        log.error("a")
    finally:
        structlog.reset_defaults()

    assert LOG_GATE.acquire(timeout=0)
    LOG_GATE.release()
