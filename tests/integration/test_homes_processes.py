"""
Homes that several processes claim at once, and claims of processes and servers that are killed.
"""

import subprocess
import sys
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from cutover.claims.homes import homes
from cutover.errors import Unavailable
from cutover.testing.store_helpers import until

KILLS = 5
ACKNOWLEDGED = 20  # claims at least before each kill
THINGS = 40
ENGINES = ("sqlite", "postgresql_url", "valkey_with_log_url")


@pytest.fixture(params=ENGINES)
def url(request, tmp_path):
    """
    A fresh place that processes share.
    """
    return f"sqlite:///{tmp_path}/homes.db" if request.param == "sqlite" else request.getfixturevalue(request.param)


@contextmanager
def worker(*arguments):
    """
    Run another process for a block.
    """
    command = [sys.executable, str(Path(__file__).with_name("homes_worker.py")), *map(str, arguments)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def claimed_until_killed(url, name, kill):
    """
    Have a process claim, kill something after some acknowledged claims, and give all that were acknowledged.
    """
    with worker("claim_for_ever", url, name) as process:
        lines = [process.stdout.readline() for _ in range(ACKNOWLEDGED)]
        kill(process)
        process.kill()
        lines += process.stdout.read().splitlines(keepends=True)
    return dict(line.split() for line in lines if line.endswith("\n"))


def test_processes_race(url):
    """
    Of several processes that claim the same at once exactly one wins each thing, and all are told the same.
    """
    with ExitStack() as stack:
        racers = [stack.enter_context(worker("race", url, side, THINGS)) for side in ("old", "new") * 2]
        assert {racer.stdout.readline() for racer in racers} == {"ready\n"}
        for racer in racers:
            racer.stdin.write("go\n")
            racer.stdin.flush()
        answers = [racer.stdout.readline().split() for racer in racers]

    assert len(answers[0]) == THINGS
    assert answers == [answers[0]] * len(answers)
    with homes(url, migration="shop") as place:
        assert list(place.find_many("order", range(THINGS)).values()) == answers[0]


def test_killed_processes(url):
    """
    No claim that was acknowledged to a process is lost when that is killed, and none was made up.
    """
    acknowledged = {}
    for number in range(KILLS):
        acknowledged |= claimed_until_killed(url, f"run{number}", lambda process: process.kill())

    with homes(url, migration="shop") as place:
        assert place.find_many("order", acknowledged) == acknowledged
        extra = place.counts()["order"].old + place.counts()["order"].new - len(acknowledged)
    assert len(acknowledged) >= KILLS * ACKNOWLEDGED
    assert 0 <= extra <= KILLS  # the last of each, whose answer nobody heard


@pytest.mark.parametrize("engine", ["own_postgresql", "own_valkey_with_log"])
def test_killed_servers(request, engine):
    """
    No claim that a server acknowledged is lost when that is killed and started again; until then it is away.
    """
    server = request.getfixturevalue(engine)
    url, acknowledged = server.url(), {}
    with homes(url, migration="shop") as place:
        for number in range(2):
            acknowledged |= claimed_until_killed(url, f"run{number}", lambda process: server.kill())
            with pytest.raises(Unavailable, match="cannot be reached"):
                place.find("order", "run0-1")
            server.start()
            assert until(lambda: answers(place))

        assert place.find_many("order", acknowledged) == acknowledged
    assert len(acknowledged) >= 2 * ACKNOWLEDGED


def answers(place):
    """
    Tell whether the place answers.
    """
    try:
        return place.find("order", "run0-1") is not None
    except Unavailable:
        return False
