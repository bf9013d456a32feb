"""
The log of the router's threads.
"""

import json
import logging
import subprocess
import sys

import pytest
import structlog
from structlog.testing import capture_logs

from cutover.router.log import LOG_GATE, log

APPLICATION = """
import logging, logging.config, sys, structlog, cutover
from cutover.router.log import log

def first():
    log.info("cutover.began", flow="pay")

def second():
    log.warning("cutover.went_on", error="it is \\"away\\"\\n", before=None, after_failures=3)
"""
DICT_CONFIG = {
    "version": 1,
    "formatters": {"plain": {"format": "%(levelname)s %(name)s %(filename)s %(message)s"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "plain"}},
    "loggers": {"cutover": {"handlers": ["console"], "level": "INFO"}},
}
FIRST = "cutover.began flow=pay"
SECOND = 'cutover.went_on error="it is \\"away\\"\\n" before=null after_failures=3'
SET_UPS = {
    "nothing": ("first(); second()", [SECOND]),
    "basicConfig": (
        "logging.basicConfig(level=logging.INFO); first(); second()",
        [f"INFO:cutover:{FIRST}", f"WARNING:cutover:{SECOND}"],
    ),
    "a level": (
        "logging.basicConfig(level=logging.INFO); logging.getLogger('cutover').setLevel('ERROR'); first(); second()",
        [],
    ),
    "dictConfig, later": (
        f"first(); logging.config.dictConfig({DICT_CONFIG!r}); second()",
        [f"WARNING cutover <string> {SECOND}"],
    ),
    "structlog, later": (
        (
            "logging.basicConfig(level=logging.INFO); first(); to_stderr = structlog.PrintLoggerFactory(sys.stderr); "
            "structlog.configure([structlog.processors.JSONRenderer()], logger_factory=to_stderr); second()"
        ),
        [
            f"INFO:cutover:{FIRST}",
            '{"error": "it is \\"away\\"\\n", "before": null, "after_failures": 3, "event": "cutover.went_on"}',
        ],
    ),
    "structlog over the standard logging": (
        (
            "logging.basicConfig(level=logging.INFO); std = structlog.stdlib; "
            "structlog.configure([std.render_to_log_kwargs], logger_factory=std.LoggerFactory()); first()"
        ),
        ["INFO:cutover:cutover.began"],
    ),
}


@pytest.fixture
def unconfigured():
    """
    Have structlog as in an application that does not configure it.
    """
    structlog.reset_defaults()


def test_goes_to_the_applications_structlog():
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


@pytest.mark.usefixtures("unconfigured")
def test_goes_to_the_standard_logger(caplog):
    """
    Where the application did not configure structlog, events are records of the logger `cutover`: the level, the
    place in the code, a line with the facts, one template for each event, and each fact as an attribute.
    """
    caplog.set_level(logging.INFO, "cutover")

    log.info("cutover.a", flow="pay", error=OSError("no"))
    log.error("cutover.b")

    first, second = caplog.records
    assert (first.name, first.levelname, first.filename) == ("cutover", "INFO", "test_log.py")
    assert (first.getMessage(), first.msg) == ('cutover.a flow=pay error="no"', "cutover.a %s")
    assert (first.event, first.flow, str(first.error)) == ("cutover.a", "pay", "no")
    assert (second.levelname, second.getMessage(), second.event) == ("ERROR", "cutover.b", "cutover.b")


@pytest.mark.usefixtures("unconfigured")
@pytest.mark.parametrize("fact", ["", "a b", "a=b", 'a"b', "a\\b", "a\nb", "\ud800", 3, True, None, 1.5])
def test_facts_are_told_apart(caplog, fact):
    """
    A fact stands on the line as it is, or as JSON where it could not be told from what is beside it.
    """
    log.error("cutover.a", fact=fact)

    name, _, text = caplog.records[0].getMessage().removeprefix("cutover.a ").partition("=")
    assert name == "fact"
    assert json.loads(text) == fact
    assert text.isprintable()


@pytest.mark.parametrize(("code", "lines"), SET_UPS.values(), ids=SET_UPS)
def test_follows_the_applications_set_up(code, lines):
    """
    Each event goes where the application's logging is set up then, and by itself never to standard output.
    """
    done = subprocess.run(
        [sys.executable, "-c", APPLICATION + code], capture_output=True, text=True, timeout=60, check=False
    )

    assert (done.stdout, done.stderr.splitlines(), done.returncode) == ("", lines, 0)


@pytest.mark.usefixtures("unconfigured")
def test_a_failing_handler_is_no_failure(caplog):
    """
    Where a handler of the standard logging raises, nothing comes back.
    """

    class Failing(logging.Handler):
        def emit(self, record):
            raise BrokenPipeError(32, f"Broken pipe: {record.msg}")

    handler = Failing()
    logging.getLogger("cutover").addHandler(handler)
    try:
        log.error("cutover.a")
    finally:
        logging.getLogger("cutover").removeHandler(handler)

    assert caplog.records == []


def test_a_failing_structlog_is_no_failure():
    """
    Where the application's structlog raises, nothing comes back, and the gate is free again.
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
