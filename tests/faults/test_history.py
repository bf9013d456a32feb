"""
The judge itself: a good history passes, and each kind of bad one is found.
"""

import attrs
import pytest

from faults.history import ACKNOWLEDGED, UNKNOWN, Attempt, History, Link, Request, judge

FAULT = 100.0
END = 110.0


def name_of(version, branch=""):
    """
    Give a hash that a version has on a branch.
    """
    return f"{branch}{version}".rjust(64, "0")


def link(version, *, epoch=1, verb="set", branch=""):
    """
    Give a change of the chain that sets the dial to 50%.
    """
    hash_ = name_of(version, branch)
    return Link(version=version, hash=hash_, epoch=epoch, verb=verb, reason=f"c{version}", parts=50_000)


def request(at, version, *, epoch=1, branch="", took=0.001, position=10, backend="new", **more):
    """
    Give a request of a client that runs a version.
    """
    hash_ = name_of(version, branch)
    given = {"at": at, "took": took, "epoch": epoch, "version": version, "hash": hash_, **more}
    return Request(position=position, backend=backend, **given)


def acknowledged(version, **more):
    """
    Give an attempt that was acknowledged as durable.
    """
    given = {"outcome": ACKNOWLEDGED, "version": version, "hash": name_of(version), "durability": "durable", **more}
    return Attempt(asked=1.0, answered=2.0, reason=f"c{version}", **given)


def run(*versions, begin=FAULT - 2):
    """
    Give the requests of a client that runs these versions, one second after the other.
    """
    return tuple(request(begin + number, version) for number, version in enumerate(versions))


GOOD = History(
    clients={"a": run(1, 1, 2, 3, 3)},
    attempts=tuple(acknowledged(version) for version in (1, 2, 3)),
    chain=tuple(link(version) for version in (1, 2, 3)),
    broken=FAULT,
    repaired=FAULT,
    totals={"new": 5},
)


def with_client(*requests, **more):
    """
    Give a good history, but for what a second client recorded.
    """
    clients = {**GOOD.clients, "b": requests}
    return attrs.evolve(
        GOOD, clients=clients, totals={"new": 5 + sum(one.backend == "new" for one in requests)}, **more
    )


def adopted(*requests, alarms=True):
    """
    Give a history in which version 4 was adopted in epoch 2, with what its client recorded before.
    """
    end = request(FAULT + 2, 4, epoch=2)
    return History(
        clients={"a": (*requests, end)},
        attempts=tuple(acknowledged(version) for version in (1, 2, 3, 4)),
        chain=(*GOOD.chain, link(4, epoch=2, verb="adopt")),
        broken=FAULT,
        repaired=FAULT,
        totals={"new": len(requests) + 1},
        alarms=alarms,
    )


def test_good():
    """
    A history in which every promise was kept passes, also one with versions skipped.
    """
    assert judge(GOOD) == []
    assert judge(with_client(*run(1, 3))) == []


def test_adopted():
    """
    A client that ran what was lost, said so, and followed the adopt passes.
    """
    lost = request(FAULT, 3, branch="lost")
    assert judge(adopted(lost, attrs.evolve(lost, at=FAULT + 1, regressed=True))) == []


BAD_CLIENTS = {
    "raised": ((*run(3, 3)[:1], request(FAULT, 3, error="ValueError()")), "route raised ValueError()"),
    "blocked": ((*run(3), request(FAULT, 3, took=4.0), request(FAULT + 4, 3)), "waited for 4.0 s"),
    "silent": ((*run(3), request(FAULT + 1.5, 3)), "waited for 3.5 s"),
    "silent on a busy machine": ((*run(3), request(FAULT + 1.5, 3, ran=1.0)), "waited for 2.5 s"),
    "blocked at the end": ((*run(3, 3), request(FAULT, 3, took=9.0)), "waited for 9.0 s"),
    "older": (run(3, 2, 3), "ran (1, 2) after (1, 3)"),
    "another at the same version": (
        (request(FAULT, 2, branch="x"), request(FAULT + 1, 2), request(FAULT + 2, 3)),
        "ran two states as (1, 2)",
    ),
    "stranger": ((request(FAULT, 2, branch="x"), request(FAULT + 1, 3)), "which is not on the chain"),
    "wrong side": ((request(FAULT, 3, position=50_000),), "went new at position 50000 in version 3"),
    "false alarm": ((request(FAULT, 3, regressed=True), request(FAULT + 1, 3)), "said regressed, and nothing was lost"),
    "late on a busy machine": (
        (*run(2, 2, 2, 2, 2, 2, 2, 2), request(FAULT + 7.5, 3, ran=2.0)),
        "came to version 3 5.5 s after it could",
    ),
    "never there": (run(1, 2), "never came to 3:"),
    "late": ((*run(2, 2, 2, 2, 2, 2, 2, 2, 3), request(FAULT + 7, 3)), "came to version 3 6.0 s after it could"),
    "regressed for ever": ((*run(3), request(FAULT - 1, 3, regressed=True)), "never came to 3:"),
    "nothing": ((), "recorded nothing"),
}


@pytest.mark.parametrize(("requests", "problem"), BAD_CLIENTS.values(), ids=BAD_CLIENTS)
def test_bad_client(requests, problem):
    """
    What a client must never do is found, under its name.
    """
    assert any(one.startswith("b: ") and problem in one for one in judge(with_client(*requests)))


def test_paused_client():
    """
    What a client could not do while it was stopped on purpose is not held against it, and what it could is.
    """
    requests = (*run(3), request(FAULT + 1.5, 3))
    assert judge(with_client(*requests, pauses={"b": ((FAULT - 1, FAULT + 1),)})) == []
    assert judge(with_client(*requests, pauses={"b": ((FAULT + 3, FAULT + 4),)})) != []


def test_slow_machine():
    """
    How long a request may take follows from how long the same client's took before the fault.
    """
    slow = [attrs.evolve(one, took=0.5) for one in run(3, 3)]
    assert judge(with_client(*slow, request(FAULT, 3, took=6.0), request(FAULT + 6, 3))) == []


def test_busy_machine():
    """
    What a client could not do because the processors were taken is not held against it.
    """
    requests = (*run(2, 2, 2), request(FAULT + 6, 3, ran=4.5), request(FAULT + 7, 3, ran=4.6))
    assert judge(with_client(*requests)) == []


def test_change_after_the_repair():
    """
    What is acknowledged long after the repair has to arrive as soon as what was waiting for it.
    """
    requests = run(2, 2, 2, 2, 2, 2, 2, 2, 3, 3)
    assert judge(with_client(*requests, repaired=FAULT + 1)) == []
    late = [*GOOD.attempts[:2], attrs.evolve(GOOD.attempts[2], answered=FAULT + 1)]
    assert judge(with_client(*requests, attempts=tuple(late))) == []
    assert judge(with_client(*requests, attempts=tuple(late), pauses={"b": ((FAULT, FAULT),)})) == []
    assert judge(with_client(*requests)) != []


def test_epoch_without_adopt():
    """
    An epoch that no adopt made is found.
    """
    history = adopted(request(FAULT, 3))
    chain = (*history.chain[:-1], attrs.evolve(history.chain[-1], verb="set"))
    assert any("rose to epoch 2" in problem for problem in judge(attrs.evolve(history, chain=chain)))


def test_lost_state_without_a_word():
    """
    A client that ran what was lost and did not say so is found, also where an adopt took it away.
    """
    assert any("not on the chain" in problem for problem in judge(adopted(request(FAULT, 3, branch="lost"))))


BAD_ATTEMPTS = {
    "lost": (acknowledged(4), "c4 was acknowledged as durable, and is lost"),
    "lost on this node": (acknowledged(4, durability="durable on this node"), "and is lost"),
    "failed and done": (acknowledged(3, outcome="Unavailable"), "c3 failed with Unavailable, and is on the chain"),
    "refused and done": (acknowledged(3, outcome="Conflict"), "c3 failed with Conflict, and is on the chain"),
    "another version": (attrs.evolve(acknowledged(3), version=2), "c3 was acknowledged as 2, and is 3"),
    "another hash": (attrs.evolve(acknowledged(3), hash=name_of(3, "x")), "c3 was acknowledged as 3, and is 3"),
}


@pytest.mark.parametrize(("attempt", "problem"), BAD_ATTEMPTS.values(), ids=BAD_ATTEMPTS)
def test_bad_attempt(attempt, problem):
    """
    What was promised to an operator and is not so is found.
    """
    attempts = {one.reason: one for one in (*GOOD.attempts, attempt)}
    assert any(problem in one for one in judge(attrs.evolve(GOOD, attempts=tuple(attempts.values()))))


@pytest.mark.parametrize(
    "attempt",
    [
        acknowledged(4, outcome=UNKNOWN),
        acknowledged(3, outcome=UNKNOWN),
        acknowledged(4, outcome="Unavailable"),
        acknowledged(4, durability="accepted"),
    ],
    ids=["unknown and not done", "unknown and done", "failed and not done", "accepted and lost"],
)
def test_good_attempt(attempt):
    """
    An unknown outcome may be either, and what was never promised may be lost.
    """
    attempts = {one.reason: one for one in (*GOOD.attempts, attempt)}
    assert judge(attrs.evolve(GOOD, attempts=tuple(attempts.values()))) == []


def test_given_up():
    """
    What an operator gave up by restoring an older state is not held against the store.
    """
    attempts = (*GOOD.attempts, acknowledged(4))
    assert judge(attrs.evolve(GOOD, attempts=attempts, lost=frozenset({"c4"}))) == []


def test_change_of_nobody():
    """
    A change that nobody asked for is found.
    """
    assert any("nobody asked" in problem for problem in judge(attrs.evolve(GOOD, attempts=GOOD.attempts[:2])))


def test_counts():
    """
    Requests that the store counted twice, or not at all, are found.
    """
    assert judge(attrs.evolve(GOOD, totals={"new": 6})) == ["the store counted 6 requests on new, and 5 were routed"]
    assert judge(attrs.evolve(GOOD, totals={"new": 4})) == ["the store counted 4 requests on new, of 5"]
    assert judge(attrs.evolve(GOOD, totals={"new": 4}, exact=False)) == []
    assert judge(attrs.evolve(GOOD, totals={"new": 6}, exact=False)) != []


@pytest.mark.parametrize(("counted", "ok"), [(5, False), (6, True), (10, True), (11, False)])
def test_counts_of_a_killed_client(counted, ok):
    """
    A client that is killed may lose its last interval and no more, and one request of it may not be recorded.
    """
    requests = tuple(request(FAULT - 9 + second, 1) for second in (0, 6, 7, 8))
    history = with_client(*requests, killed={"b": FAULT}, pauses={"b": ((FAULT - 9, FAULT),)})
    assert (judge(attrs.evolve(history, totals={"new": counted})) == []) is ok
