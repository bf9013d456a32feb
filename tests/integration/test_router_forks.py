"""
Routers in real processes, forked in traffic and ended in every way: nothing hangs, and every count arrives.
"""

import signal

from router_processes import TOML

import cutover

JOURNEY = """
[journeys.purchase]
flows = ["browse", "pay"]
"""


def counted(control, kind: str = "requests") -> int:
    """
    Give how many requests or calls all processes together told the store.
    """
    return sum(number for counted, number in control.fleet().totals().items() if counted.kind == kind)


def test_forks_in_traffic(routing, control, url):
    """
    A hundred forks while threads route, call and scrape: no child hangs, and the store has every request once.
    """
    with routing("in_traffic", url, 100) as process:
        said = process.said()
        assert process.ended() == 0

    assert said["codes"] == [0] * 100
    assert (counted(control), counted(control, "calls")) == (said["routed"], said["routed"] // 2)
    assert control.fleet().instances == ()


def test_dials_reach_parent_and_child(routing, control, url):
    """
    After a fork, parent and child each go on following the store.
    """
    with routing("dials", url) as process:
        assert process.said() == {"forked": True}
        control.set("pay", 100, reason="all")

        assert process.said() == {"codes": [0], "parent": True}


def test_identities(routing, control, url):
    """
    Parent, child and the child's child are instances of their own, and none counts what another counted.
    """
    with routing("identities", url) as process:
        said = process.said()

    assert said["codes"] == [0]
    assert len(set(said["instances"])) == 3
    assert counted(control) == 40


def test_fork_after_close(routing, control, url):
    """
    A child of a closed router routes by what held, and has no threads.
    """
    with routing("closed_before", url) as process:
        assert process.said() == {"codes": [0]}


def test_visits_go_on_in_a_child(routing, control, url):
    """
    A visit that was entered before a fork goes on in parent and child, on its side, and each event is counted once.
    """
    control.apply(cutover.Migration.parse(TOML + JOURNEY), confirm=True)
    control.set("purchase", 50, reason="half")
    with routing("visits", url) as process:
        assert process.said() == {"sides": ["new", "old"]}
        control.set("purchase", 0, reason="none")

        assert process.said() == {"codes": [0]}
    totals = control.fleet().totals().items()
    events = {counted.detail: number for counted, number in totals if counted.kind == "visits" and number}
    assert events == {"entered": 100, "resumed": 200, "bypassed": 2}


def test_forks_that_tell_nobody(routing, control, url):
    """
    Where a server forks without Python's hooks, calling `after_fork` does all that they would; twice is as once.
    """
    with routing("without_hooks", url) as process:
        assert process.said() == {"forked": True}
        control.set("pay", 100, reason="all")

        assert process.said() == {"codes": [0]}
    assert counted(control) == 30


def test_gauges_of_a_child(routing, control, url):
    """
    A child shows its own health: it hears from the store itself, and its snapshot is as fresh as that.
    """
    with routing("shown_in_child", url) as process:
        assert process.said() == {"codes": [0]}


def test_multiprocessing(routing, control, url):
    """
    Processes of `multiprocessing` hand over their counts at their end, though they run no exit handlers.
    """
    with routing("processes", url) as process:
        assert process.said() == {"codes": [0, 0, 0, 0]}

    assert counted(control) == 400
    assert control.fleet().instances == ()


def test_a_program_that_just_ends(routing, control, url):
    """
    A program that holds no more than a flow, and closes nothing, hands over its counts at its end.
    """
    with routing("just_ends", url) as process:
        assert process.said() == {"routed": 500}
        assert process.ended() == 0

    assert counted(control) == 500
    assert control.fleet().instances == ()


def test_a_program_that_fails(routing, control, url):
    """
    A program that ends with an exception, while a thread still routes, hands over its counts and keeps its exit code.
    """
    with routing("fails", url) as process:
        said = process.said()
        assert process.ended() == 3

    assert counted(control) >= said["routed"]
    assert control.fleet().instances == ()


def test_a_signal_in_traffic(routing, control, url):
    """
    A router may be closed by the handler of a signal, whatever instruction the signal interrupted.
    """
    with routing("ended_by_signal", url) as process:
        assert process.said() == {"ready": True}
        process.send_signal(signal.SIGTERM)

        assert process.ended() == 0
    assert control.fleet().instances == ()


def test_closing_while_forking(routing, control, url):
    """
    A fork in the middle of a close leaves a child that routes and ends, and a parent that ends.
    """
    with routing("closing_while_forking", url) as process:
        said = process.said()
        assert process.ended() == 0

    assert said["codes"] == [0] * 20
