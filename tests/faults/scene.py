"""
One scene: a store, clients that route, operators; what is done to them; and at the end the judge.
"""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import cutover
from cutover.core.ledger import Change, seal
from cutover.operations import intents
from cutover.testing.store_helpers import until
from faults.changer import Operator
from faults.history import ACKNOWLEDGED, Attempt, History, Link, Request, judge

HERE = Path(__file__).parent
PATIENCE = 40.0  # seconds until something counts as never happening
WARM = 60  # requests before a fault begins: what is normal
DEFINITION = 'name = "{}"\nold = "tiktok"\nnew = "tokopedia"\n[flows.pay]\n'


class Scene:
    """
    Everything of one scenario.

    Attributes:
        place: The store.
        rina: An operator in this process, who goes past the line that clients go over.
        alarms: Whether clients may say that they are regressed.
        exact: Whether the store must count every request.
    """

    def __init__(self, make_place, folder, stack):
        self.place = make_place(folder / "store")
        self._another = make_place
        self.alarms = False
        self.exact = True
        self._folder = folder
        self._stack = stack
        self._clients = {}
        self._ended = set()
        self._changers = []
        self._recorders = []
        self._pauses = {}
        self._killed = {}
        self._lost = set()
        self._broken = self._repaired = None
        self.rina = self._operator("rina")
        self.rina.ask(lambda reason: self.rina.control.apply(definition("shop"), reason=reason))
        self.rina.set(50)

    # -- processes --

    def clients(self, *names, bootstrap=None, routing=True):
        """
        Start clients, and wait until they follow the store, or just route.
        """
        for name in names:
            folder = self._folder / name
            folder.mkdir()
            arguments = [HERE / "client.py", self.place.url, folder, *([bootstrap] if bootstrap else [])]
            self._clients[name] = self._process(arguments, folder / "log")
        assert self.wait(lambda: all(self.last(name) is not None for name in names)), self.logs()
        if routing:
            assert self.wait(lambda: all(self._routed(name) > WARM and self.last(name).version for name in names))

    def changer(self, name):
        """
        Start a process of an operator who turns the dial all the time; gives its process id.
        """
        with self._record(name).open("ab") as record:
            recorder = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=record)
        self._stack.callback(recorder.wait)
        self._stack.callback(recorder.kill)
        arguments = [HERE / "changer.py", self.place.url, name]
        process = self._process(arguments, self._folder / f"{name}.log", output=recorder.stdin)
        recorder.stdin.close()
        self._changers.append(process)
        self._recorders.append(recorder)
        assert self.wait(lambda: self.acknowledged(name) >= 2), self.logs()
        return process.pid

    def fork(self, name):
        """
        Let a client fork; the child is a client from then on.
        """
        folder, child = self._folder / name, f"{name}-child"
        self._clients[name].send_signal(signal.SIGUSR2)
        assert self.wait(lambda: (folder / "child").exists() and (folder / "child").read_text())
        self._clients[child] = Child(int((folder / "child").read_text()))
        self._stack.callback(self._clients[child].kill)
        assert self.wait(lambda: self.last(child) is not None)

    def move_clock(self, name):
        """
        Set the wall clock of a client.
        """
        self._clients[name].send_signal(signal.SIGUSR1)

    @contextmanager
    def stopped(self, name):
        """
        Stop a client for a block, between two of its uses of the store: whoever stops inside one keeps the lock of a
        SQLite file, which stops everybody's changes as `SqlitePlace.stopped` does.
        """
        begin = time.monotonic()
        try:
            self._clients[name].send_signal(signal.SIGSTOP)
            while self.place.is_locked():
                assert time.monotonic() - begin < PATIENCE, "the store's file is locked all the time"
                self._clients[name].send_signal(signal.SIGCONT)
                self.place.is_locked()  # until it lets go: at once it would be stopped again before it runs
                self._clients[name].send_signal(signal.SIGSTOP)
            yield
        finally:
            self._clients[name].send_signal(signal.SIGCONT)
            self._pauses.setdefault(name, []).append((begin, time.monotonic()))

    def kill(self, name):
        """
        Kill a client.
        """
        self._killed[name] = time.monotonic()
        self._clients[name].kill()
        self._clients[name].wait()

    def kill_changer(self):
        """
        Kill the operator's process that was started last.
        """
        process = self._changers.pop()
        process.kill()
        process.wait()

    def calm(self):
        """
        Tell the operators' processes to end, and wait for their last answers.
        """
        for process in self._changers:
            process.send_signal(signal.SIGTERM)
        for process in self._changers:
            if not self.wait(lambda process=process: process.poll() is not None):
                process.send_signal(signal.SIGUSR1)
                self.wait(lambda: "Thread" in self.logs())
                raise AssertionError(self.logs())
        for recorder in self._recorders:
            recorder.wait(PATIENCE)

    # -- what is going on --

    def broken(self):
        """
        Note that the fault begins.
        """
        self._broken = time.monotonic()

    def repaired(self):
        """
        Note that the store is whole again.
        """
        self._repaired = time.monotonic()

    def go_on(self, requests=400):
        """
        Wait until every client that runs has routed that many more requests.
        """
        goals = {name: self._routed(name) + requests for name in self._running()}
        assert self.wait(lambda: all(self._routed(name) >= goal for name, goal in goals.items())), self.logs()

    def last(self, name):
        """
        Give the last request that a client recorded.
        """
        lines = tail(self._file(name))
        return Request(**json.loads(lines[-1])) if lines else None

    def all_clients(self, condition):
        """
        Wait until something holds for the last request of every client that runs.
        """
        return self.wait(lambda: all(condition(self.last(name)) for name in self._running()))

    def everybody_runs_the_last(self):
        """
        Wait until every client that runs is at the head of the store.
        """
        head = self.rina.control.snapshot().head
        assert self.all_clients(lambda one: one.hash == head.hash and not one.regressed), self.logs()

    def failed(self, name):
        """
        Count the changes of an operator that were answered, and not acknowledged.
        """
        return sum(bool(a.answered) and a.outcome != ACKNOWLEDGED for a in attempts(self._record(name)))

    def acknowledged(self, name):
        """
        Count the acknowledged changes of an operator.
        """
        return sum(attempt.outcome == ACKNOWLEDGED for attempt in attempts(self._record(name)))

    def restore(self, backup, head):
        """
        Restore a backup that was made at a head: who restores gives up what was acknowledged since.
        """
        given_up = [a.reason for a in self._attempts() if a.outcome == ACKNOWLEDGED and a.version > head.version]
        self._lost.update(given_up)
        self.place.restore(backup)

    def give_up_all(self):
        """
        Note that another store takes the place: everything that was acknowledged is given up.
        """
        self._lost.update(attempt.reason for attempt in self._attempts())

    def operator(self, name, url):
        """
        Give another operator in this process.
        """
        return self._operator(name, url)

    def stranger(self, url):
        """
        Give somebody who operates another store, of whom nothing is recorded.
        """
        return self._stack.enter_context(cutover.control(url, actor="mira"))

    def reopen(self):
        """
        Let the operator go to where the store is now.
        """
        self.rina = self._operator("rina-again")

    def another_place(self):
        """
        Give another store of the same kind.
        """
        return self._another(self._folder / "another")

    def definition(self, name="shop"):
        """
        Give the definition of a migration with the flow pay.
        """
        return definition(name)

    def exported(self):
        """
        Export what holds; gives the path.
        """
        path = self._folder / "bootstrap.json"
        path.write_text(self.rina.control.export_snapshot())
        return path

    def poison(self, spoil):
        """
        Write a change past the API, with a spoilt snapshot; gives its hash.
        """
        control = self.rina.control

        def act(reason):
            before = control.snapshot()
            proposal = control.propose(intents.set_dial("pay", 99))
            change, after = seal(proposal, at=before.at, actor="a tool", reason=reason)
            document = json.loads(after.encode())
            spoil(document)
            control.store.append(
                "shop", expect=before.head, head=after.head, change=change.encode(), snapshot=json.dumps(document)
            )
            return change

        # A busy machine may not write a large document in time; each attempt is a change of its own.
        assert any(self.rina.ask(act) == ACKNOWLEDGED for _ in range(3))
        return attempts(self._record("rina"))[-1].hash

    def wait(self, condition):
        """
        Wait until something holds; False where it never does.
        """
        return until(condition, PATIENCE)

    def logs(self):
        """
        Give the ends of what the processes said.
        """
        return "\n".join(f"{path}: {path.read_text()[-2000:]}" for path in self._folder.rglob("*log"))

    def requests(self, name):
        """
        Give all that a client recorded.
        """
        text = self._file(name).read_text()
        whole = text[: text.rfind("\n") + 1]
        return tuple(Request(**json.loads(line)) for line in whole.splitlines())

    # -- the end --

    def verdict(self):
        """
        Let everybody come to rest, and judge.
        """
        self.calm()
        self.rina.set(12.5)
        self.everybody_runs_the_last()
        for name in self._running():
            self._clients[name].send_signal(signal.SIGTERM)
        for name in self._running():
            self._clients[name].wait(PATIENCE)
        control = self.rina.control
        verification = control.verify()
        history = History(
            clients={name: self.requests(name) for name in self._clients},
            attempts=self._attempts(),
            chain=chain(control),
            broken=self._broken,
            repaired=self._repaired or self._broken,
            pauses={name: tuple(pauses) for name, pauses in self._pauses.items()},
            killed=self._killed,
            lost=frozenset(self._lost),
            totals=totals(control),
            exact=self.exact,
            alarms=self.alarms,
        )
        return [*map(str, verification.problems), *judge(history)]

    def _process(self, arguments, log, output=None):
        environment = {name: value for name, value in os.environ.items() if not name.startswith("CUTOVER_")}
        # Newer versions of Python warn of every fork beside threads: that is what is tested.
        command = [sys.executable, "-W", "ignore::DeprecationWarning", *map(str, arguments)]
        with log.open("ab") as said:
            process = subprocess.Popen(command, env=environment, stdout=output or said, stderr=said)
        self._stack.callback(process.wait)
        self._stack.callback(process.kill)
        return process

    def _operator(self, name, url=None):
        record = os.open(self._record(name), os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
        operator = Operator(url or self.place.direct, name, record)
        self._stack.callback(operator.close)
        return operator

    def _record(self, name):
        return self._folder / f"operator-{name}"

    def _file(self, name):
        if name.endswith("-child"):
            return self._folder / name.removesuffix("-child") / "requests-of-child"
        return self._folder / name / "requests"

    def _running(self):
        return [name for name in self._clients if name not in self._killed]

    def _routed(self, name):
        path = self._file(name)
        return path.read_bytes().count(b"\n") if path.exists() else 0

    def _attempts(self):
        found = [attempt for path in self._folder.glob("operator-*") for attempt in attempts(path)]
        return tuple(sorted(found, key=lambda attempt: attempt.answered))


class Child:
    """
    A process that a client forked, as far as one can speak to a grandchild.
    """

    def __init__(self, pid):
        self.pid = pid

    def send_signal(self, number):
        """
        Send a signal.
        """
        os.kill(self.pid, number)

    def kill(self):
        """
        Kill it, if it is there.
        """
        if self._is_there():
            os.kill(self.pid, signal.SIGKILL)

    def wait(self, seconds=PATIENCE):
        """
        Wait for its end.
        """
        assert until(lambda: not self._is_there(), seconds)

    def _is_there(self):
        try:
            return Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
        except FileNotFoundError:
            return False


def definition(name):
    """
    Give the definition of a migration.
    """
    return cutover.Migration.parse(DEFINITION.format(name))


def attempts(path):
    """
    Read what an operator recorded; the last line about a change holds.
    """
    text = path.read_text() if path.exists() else ""
    whole = text[: text.rfind("\n") + 1]  # the last line may be half written
    lines = [json.loads(line) for line in whole.splitlines()]
    return [Attempt(**line) for line in {line["reason"]: line for line in lines}.values()]


def tail(path, size=4000):
    """
    Read the last whole lines of a file that is being written.
    """
    if not path.exists():
        return []
    with path.open("rb") as file:
        length = file.seek(0, os.SEEK_END)
        file.seek(max(0, length - size))
        text = file.read()
    lines = text[: text.rfind(b"\n") + 1].splitlines()
    return lines if length <= size else lines[1:]


def chain(control):
    """
    Give the surviving chain, with the epoch and the dial after each change.
    """
    links, epoch, parts = [], 1, 0
    for change in map(Change.decode, control.history_texts()):
        epoch = change.effects.get("epoch", epoch)
        parts = change.effects.get("dials", {}).get("pay", parts)
        links.append(
            Link(
                version=change.version,
                hash=change.hash,
                epoch=epoch,
                verb=change.verb,
                reason=change.reason,
                parts=parts,
            )
        )
    return tuple(links)


def totals(control):
    """
    Give what the store's fleet counted, by back end.
    """
    result = {}
    for counted, number in control.fleet().totals().items():
        if counted.kind == "requests":
            result[counted.backend] = result.get(counted.backend, 0) + number
    return result
