"""
The scenarios, by name: each breaks something real while clients route, and repairs it.
"""

EVERYWHERE = ("sqlite", "postgresql", "valkey")
SERVERS = ("postgresql", "valkey")
SCENARIOS = {}


def scenario(*kinds):
    """
    Enter a scenario under its name.
    """

    def entered(act):
        SCENARIOS[act.__name__] = (act, kinds)
        return act

    return entered


def _away(scene, fault, requests):
    """
    Break the store while an operator is busy, let the clients notice and route on, repair it.
    """
    scene.clients("one", "two")
    scene.changer("busy")
    scene.broken()
    with fault():
        assert scene.all_clients(lambda one: one.up == 0), scene.logs()
        scene.go_on(requests)
    scene.repaired()
    done = scene.acknowledged("busy")
    assert scene.wait(lambda: scene.acknowledged("busy") > done), scene.logs()


@scenario(*EVERYWHERE)
def killed(scene):
    _away(scene, scene.place.killed, 1000)


@scenario(*EVERYWHERE)
def stopped(scene):
    _away(scene, scene.place.stopped, 200)


@scenario(*SERVERS)
def silent(scene):
    _away(scene, scene.place.silent, 200)


@scenario(*SERVERS)
def slow(scene):
    _away(scene, scene.place.slow, 1000)


def _restored(scene, changes):
    """
    Restore a backup that lacks three changes, and let the restored store go on by some; `adopt` heals.
    """
    scene.clients("one", "two")
    head, backup = scene.rina.control.snapshot().head, scene.place.backup()
    _turn(scene, 3)
    scene.everybody_runs_the_last()
    scene.alarms, scene.exact = True, False
    scene.broken()
    scene.restore(backup, head)
    _turn(scene, changes)
    assert scene.all_clients(lambda one: one.regressed), scene.logs()
    scene.go_on(100)
    _adopt(scene)


@scenario(*EVERYWHERE)
def restored(scene):
    _restored(scene, 0)


@scenario(*EVERYWHERE)
def forked(scene):
    _restored(scene, 3)


@scenario(*EVERYWHERE)
def overtaken(scene):
    _restored(scene, 5)


@scenario(*EVERYWHERE)
def skipped(scene):
    scene.clients("one", "two")
    with scene.stopped("two"):
        _turn(scene, 2)
        head, backup = scene.rina.control.snapshot().head, scene.place.backup()
        _turn(scene, 3)
        last = scene.rina.control.snapshot().head
        assert scene.wait(lambda: scene.last("one").hash == last.hash), scene.logs()
        scene.alarms, scene.exact = True, False
        scene.broken()
        scene.restore(backup, head)
        _turn(scene, 4)
        assert scene.wait(lambda: scene.last("one").regressed), scene.logs()
    now = scene.rina.control.snapshot().head
    assert scene.wait(lambda: scene.last("two").hash == now.hash), scene.logs()
    _adopt(scene)
    assert not any(request.regressed for request in scene.requests("two"))


@scenario(*EVERYWHERE)
def replaced(scene):
    scene.clients("one", "two")
    scene.give_up_all()
    another = scene.another_place()
    mira = scene.operator("mira", another.direct)
    mira.ask(lambda reason: mira.control.apply(scene.definition(), reason=reason))
    for percent in (10, 20, 30, 40):
        mira.set(percent)
    scene.alarms, scene.exact = True, False
    scene.broken()
    scene.place.restore(another.backup())
    assert scene.all_clients(lambda one: one.regressed), scene.logs()
    scene.go_on(100)
    _adopt(scene)


@scenario(*EVERYWHERE)
def missing(scene):
    scene.clients("one", "two")
    backup = scene.place.backup()
    another = scene.another_place()
    mira = scene.stranger(another.direct)
    mira.apply(scene.definition("kitchen"))
    scene.exact = False
    scene.broken()
    scene.place.restore(another.backup())
    scene.go_on(400)
    scene.place.restore(backup)
    scene.repaired()


@scenario(*EVERYWHERE)
def failed_over(scene):
    scene.clients("one", "two")
    scene.changer("busy")
    scene.calm()
    scene.broken()
    scene.place.fail_over()
    scene.repaired()
    scene.reopen()
    _turn(scene, 1)
    scene.go_on(200)


@scenario(*EVERYWHERE)
def lagging(scene):
    scene.clients("one", "two")
    scene.exact = False
    scene.broken()

    def get_ahead():
        _turn(scene, 3)
        scene.everybody_runs_the_last()

    with scene.place.lagging(get_ahead):
        scene.go_on(400)
    scene.repaired()


@scenario(*EVERYWHERE)
def full(scene):
    scene.clients("one", "two")
    writer = scene.changer("busy")
    scene.broken()
    with scene.place.full(writer):
        assert scene.wait(lambda: scene.failed("busy")), scene.logs()
        scene.go_on(50)
    scene.repaired()
    done = scene.acknowledged("busy")
    assert scene.wait(lambda: scene.acknowledged("busy") > done), scene.logs()


@scenario(*EVERYWHERE)
def clock_moved(scene):
    scene.clients("one", "two")
    scene.changer("busy")
    # The clock of a file is that of whoever uses it: minutes that come late by it are left out.
    scene.exact = scene.place.has_clock
    scene.broken()
    for _ in range(2):
        scene.move_clock("one")
        scene.go_on(300)


@scenario(*EVERYWHERE)
def client_stopped(scene):
    scene.clients("one", "two")
    scene.changer("busy")
    scene.broken()
    with scene.stopped("two"):
        done = scene.acknowledged("busy")
        assert scene.wait(lambda: scene.acknowledged("busy") > done + 10), scene.logs()
    scene.go_on(200)


@scenario(*EVERYWHERE)
def client_forked(scene):
    scene.clients("one", "two")
    scene.changer("busy")
    scene.broken()
    scene.fork("one")
    scene.go_on(300)


@scenario(*EVERYWHERE)
def client_killed(scene):
    scene.clients("one", "two")
    scene.changer("busy")
    scene.broken()
    scene.go_on(300)
    scene.kill("two")
    scene.go_on(100)


@scenario(*EVERYWHERE)
def operator_killed(scene):
    scene.clients("one", "two")
    scene.broken()
    for name in ("first", "second", "third"):
        scene.changer(name)
        scene.kill_changer()
    scene.changer("last")


@scenario(*EVERYWHERE)
def two_operators(scene):
    scene.clients("one", "two")
    scene.broken()
    for name in ("left", "right"):
        scene.changer(name)
    assert scene.wait(lambda: all(scene.acknowledged(name) > 20 for name in ("left", "right"))), scene.logs()


@scenario(*EVERYWHERE)
def poisoned(scene):
    scene.clients("one", "two")
    scene.broken()
    poisons = (_blank, _too_much, _huge)
    for number, poison in enumerate(poisons):
        taken = scene.poison(poison)
        assert scene.all_clients(lambda one: one.up == 0), scene.logs()
        scene.go_on(100)
        assert not any(request.hash == taken for name in ("one", "two") for request in scene.requests(name))
        scene.operator(f"healer{number}", scene.place.direct).set(number + 1)
        scene.everybody_runs_the_last()
        assert scene.all_clients(lambda one: one.up == 1), scene.logs()
    scene.repaired()


@scenario(*EVERYWHERE)
def empty_disk(scene):
    scene.rina.set(100)
    bootstrap = scene.exported()
    scene.broken()
    with scene.place.killed():
        scene.clients("one", "two", bootstrap=bootstrap, routing=False)
        scene.go_on(400)
        assert {request.backend for name in ("one", "two") for request in scene.requests(name)} == {"new"}
    scene.repaired()


def _turn(scene, times):
    for number in range(times):
        scene.rina.set(60 + number)


def _adopt(scene):
    scene.rina.ask(lambda reason: scene.rina.control.adopt(reason=reason))
    scene.repaired()


def _blank(document):
    document["state"]["dials"]["pay"] = ""
    document["state"]["definition"]["flows"] = {"": None}


def _too_much(document):
    document["state"]["dials"]["pay"] = 101_000


def _huge(document):
    document["padding"] = "x" * 33_600_000  # more than routers read
