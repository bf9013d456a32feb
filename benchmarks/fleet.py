"""
What a fleet of routers makes of a change, and what it costs its store: ``python benchmarks/fleet.py [WHAT] [PROCESSES]
[ROUTERS]``.

WHAT is ``postgresql``, ``valkey``, ``relay``, ``emergency`` or the URL of an empty place; the first four where it is
left out. The servers are those of the tests. PROCESSES are forked from this one and hold ROUTERS each, made by
`cutover.connect`; all run on this machine beside the server, so that what they cost is in the figures.

- A store: from a writer's acknowledgement to each router's log line "applied", with hints and without; then the
  server's CPU for a check-in, a poll and a look at the whole fleet, each called many times by one client.
- A relay: its CPU for the same calls.
- An emergency: routers behind one relay whose PostgreSQL is killed, from the start of ``cutover rollback --emergency``
  until each of them routes a key to OLD that it had routed to NEW.
"""

import os
import random
import secrets
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import structlog
from prometheus_client import CollectorRegistry

import cutover
from cutover.clock import utc_now
from cutover.core.backend import Backend
from cutover.core.checkin import CheckIn, Counted, Kind, minute_of
from cutover.engines.redaction import redacted
from cutover.engines.registry import open_store

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from servers.postgresql import NEWEST, Server
from servers.redis import LOG, valkey_server
from servers.relay import Serving

MIGRATION = "shop"
FLOWS = ("browse", "cart", "checkout", "pay")
DEFINITION = 'name = "shop"\nold = "a"\nnew = "b"\n' + "".join(f"[flows.{flow}]\nweight = 1\n" for flow in FLOWS)
PATIENCE = 60.0  # seconds
AT_REST = 8.0  # seconds that a relay is watched with nothing to tell
INSTANCES = 1000
CHECK_INS, POLLS = INSTANCES / 4.75, INSTANCES / 0.75  # a second, by the means of the routers' jittered intervals
P99_GOAL, POLL, CORE_GOAL, EMERGENCY_GOAL = 100.0, 1000.0, 0.5, 5.0  # ms, ms, cores, seconds


class Fleet:
    """
    Processes with routers, and what they tell: lines of an instant, a router and what it did.
    """

    def __init__(self, work, processes):
        self.lines = []
        end, out = os.pipe()
        life, self._alive = os.pipe()
        self._pids = []
        for _ in range(processes):
            self._pids.append(os.fork())
            if not self._pids[-1]:
                os.close(self._alive)
                become(work, out, life)
        os.close(out)
        os.close(life)
        self._reader = threading.Thread(target=self._read, args=(end,))
        self._reader.start()

    def _read(self, end):
        with os.fdopen(end) as lines:
            for line in lines:
                at, router, did = line.split()
                self.lines.append((float(at), router, did))

    def told(self, did, number):
        """
        Wait until so many routers did something, and give when each first did it.
        """
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            first = {}
            for at, router, what in tuple(self.lines):
                if what == did:
                    first.setdefault(router, at)
            if len(first) == number:
                return first
            time.sleep(0.1)
        raise SystemExit(f"{len(first)} of {number} routers told {did!r} in {PATIENCE:g} s")

    def end(self):
        """
        Let all processes end.
        """
        os.close(self._alive)
        for pid in self._pids:
            os.waitpid(pid, 0)
        self._reader.join()


def become(work, out, life):
    """
    Be a process of the fleet until the first one lets go of it.
    """

    def note(logger, method, event):
        del logger, method
        if event["event"] == "cutover.snapshot_applied":
            router, version = f"{os.getpid()}.{threading.get_ident()}", event["version"].partition(":")[0]
            os.write(out, f"{time.monotonic()} {router} {version}\n".encode())
        raise structlog.DropEvent

    structlog.configure(processors=[note])
    with suppress(BaseException):  # what a process did not tell is missed by the first one
        work(out, life)
    os._exit(0)


def routing(url, routers):
    """
    Make routers, and let them follow.
    """

    def work(out, life):
        del out
        kept = [connected(url) for _ in range(routers)]
        os.read(life, 1)
        del kept

    return work


def watching(url, routers):
    """
    Make routers, and tell when each first routes a key to OLD that it had routed to NEW.
    """

    def work(out, life):
        kept = [connected(url) for _ in range(routers)]
        assert all(router.wait_ready(PATIENCE) for router in kept)
        flows = dict(enumerate(router.flow("pay") for router in kept))
        key = next(key for key in map(str, range(1000)) if flows[0].peek(key).backend is Backend.NEW)
        os.write(out, "".join(f"{time.monotonic()} {os.getpid()}.{n} new\n" for n in flows).encode())
        while flows:
            for number in [n for n, flow in flows.items() if flow.peek(key).backend is Backend.OLD]:
                os.write(out, f"{time.monotonic()} {os.getpid()}.{number} old\n".encode())
                del flows[number]
            time.sleep(0.02)
        os.read(life, 1)

    return work


def connected(url):
    return cutover.connect(url, migration=MIGRATION, registry=CollectorRegistry(), cache="off")


@contextmanager
def fleet_of(work, processes):
    """
    Run processes for a block.
    """
    fleet = Fleet(work, processes)
    try:
        yield fleet
    finally:
        fleet.end()


def cpu_of(pid):
    """
    Give the seconds of CPU that a server and its children have used, those that ended included.
    """
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    used = 0
    for one, kinds in ((pid, 4), *((child, 2) for child in children)):
        with suppress(OSError):  # it has just ended
            fields = Path(f"/proc/{one}/stat").read_text().rsplit(")", 1)[1].split()
            used += sum(map(int, fields[11 : 11 + kinds]))
    return used / os.sysconf("SC_CLK_TCK")


def delays(url, heard_at, processes, routers, changes):
    """
    Give the sorted milliseconds from each acknowledgement to each router, which may skip versions.
    """
    number, written = processes * routers, {}
    with fleet_of(routing(heard_at, routers), processes) as fleet, cutover.control(url, actor="benchmark") as control:
        fleet.told(str(control.status().version), number)
        for change in range(changes):
            time.sleep(random.uniform(0.6, 1.6))
            version = control.set("pay", round(random.uniform(1, 99), 3), reason=f"change {change}").version
            written[version] = time.monotonic()
        fleet.told(str(max(written)), number)
    applied = {}
    for at, router, version in fleet.lines:
        applied.setdefault(router, []).append((int(version), at))
    found = []
    for seen in applied.values():
        for version, when in written.items():
            found.append(max(min(at for other, at in seen if other >= version) - when, 0) * 1000)
    return sorted(found)


def propagation(what, goal, url, heard_at, processes, routers, changes):
    """
    Measure and print how a change travels; the answer says whether that is within the goal.
    """
    found = delays(url, heard_at, processes, routers, changes)
    p99 = statistics.quantiles(found, n=100)[98]
    print(
        f"{what}: {processes} processes x {routers} routers, {changes} changes, {len(found)} applied: "
        f"p50 {statistics.median(found):.1f} ms, p99 {p99:.1f} ms, max {found[-1]:.1f} ms (goal: p99 {goal:.0f} ms)",
        flush=True,
    )
    return p99 <= goal


def report_of(instance, sequence, head):
    """
    Make the check-in of an instance with traffic on every flow.
    """
    now = utc_now()
    totals = {
        Counted(kind, flow, side, detail): 1000 * sequence
        for flow in FLOWS
        for side in ("old", "new")
        for kind, detail in ((Kind.REQUESTS, "percent"), (Kind.CALLS, "ok"))
    }
    return CheckIn(
        instance=instance,
        sequence=sequence,
        at=now,
        host="web-1",
        pid=1,
        started=now,
        library="0",
        head=head,
        minutes={minute_of(now): totals},
        since_version=totals,
    )


def microseconds(pid, call, arguments):
    """
    Give the server's CPU for one call.
    """
    used = cpu_of(pid)
    for argument in arguments:
        call(argument)
    return (cpu_of(pid) - used) / len(arguments) * 1e6


def costs(whose, url, pid):
    """
    Measure and print the CPU of a server for a fleet; the answer says whether check-ins are within the goal.
    """
    store = open_store(url)
    head = store.read(MIGRATION).head
    instances = [secrets.token_hex(16) for _ in range(INSTANCES)]

    def check_in(number):
        sequence, instance = divmod(number, INSTANCES)
        store.check_in(MIGRATION, report_of(instances[instance], sequence + 1, head), now=store.now())

    microseconds(pid, check_in, range(INSTANCES))
    checked = microseconds(pid, check_in, range(INSTANCES, 4 * INSTANCES))
    polled = microseconds(pid, lambda _: store.read(MIGRATION, seen=head), range(5000))
    began = time.perf_counter()
    looked = microseconds(pid, lambda _: store.fleet(MIGRATION), range(20)) / 1000
    took = (time.perf_counter() - began) / 20 * 1000
    store.close()
    share = checked * CHECK_INS / 1e6
    print(
        f"CPU of {whose}: a check-in {checked:.0f} us, {CHECK_INS:.0f} a second: {share:.1%} of a core "
        f"(goal: {CORE_GOAL:.0%});"
    )
    print(f"a poll {polled:.0f} us, {POLLS:.0f} a second: {polled * POLLS / 1e6:.1%} of a core;")
    print(f"the whole fleet of {INSTANCES}: {looked:.1f} ms, read after {took:.0f} ms", flush=True)
    return share <= CORE_GOAL


@contextmanager
def postgresql():
    """
    Run a PostgreSQL server for a block that takes two connections of each of 100 routers.
    """
    server = Server(NEWEST, "max_connections=400")
    try:
        server.initialise()
        server.start()
        yield server
    finally:
        server.stop()


def with_definition(url):
    with cutover.control(url, actor="benchmark") as control:
        control.apply(cutover.Migration.parse(DEFINITION))
    return url


def on_postgresql(processes, routers):
    """
    Measure PostgreSQL; without hints the routers do not listen.
    """
    with postgresql() as server:
        url = with_definition(server.url())
        return [
            propagation("PostgreSQL", P99_GOAL, url, url, processes, routers, 30),
            propagation("without hints", P99_GOAL + POLL, url, f"{url}&notify=off", processes, routers, 15),
            costs("PostgreSQL", url, server.process.pid),
        ]


def on_valkey(processes, routers):
    """
    Measure Valkey; without hints the routers are a user that may not subscribe.
    """
    with tempfile.TemporaryDirectory() as folder, valkey_server(folder, *LOG) as server:
        with server.client() as client:
            client.execute_command("ACL", "SETUSER", "deaf", "on", ">deaf", "~*", "resetchannels", "+@all")
        url = with_definition(server.url())
        deaf = url.replace("//", "//deaf:deaf@")
        return [
            propagation("Valkey", P99_GOAL, url, url, processes, routers, 30),
            propagation("without hints", P99_GOAL + POLL, url, deaf, processes, routers, 15),
            costs("Valkey", url, server.process.pid),
        ]


def on_relay():
    """
    Measure what a relay itself does for what it is asked, with PostgreSQL behind it.
    """
    with tempfile.TemporaryDirectory() as folder, postgresql() as server:
        relay = Serving(with_definition(server.url()), Path(folder, "state")).start()
        try:
            return [costs("the relay", relay.url, relay.process.pid)]
        finally:
            relay.process.kill()
            relay.process.wait()


def on_emergency(processes, routers):
    """
    Roll back behind a relay whose PostgreSQL is killed.
    """
    number = processes * routers
    with tempfile.TemporaryDirectory() as folder, postgresql() as server:
        url = with_definition(server.url())
        with cutover.control(url, actor="benchmark") as control:
            control.set("pay", 50, reason="half")
        relay = Serving(url, Path(folder, "state")).start()
        try:
            with fleet_of(watching(relay.url, routers), processes) as fleet:
                fleet.told("new", number)
                at_rest(relay.process.pid, server.process.pid, number)
                server.kill()
                began = time.monotonic()
                subprocess.run(rollback_at(relay.url), check=True, stdout=subprocess.DEVNULL, timeout=PATIENCE)
                answered = time.monotonic() - began
                routed = sorted(at - began for at in fleet.told("old", number).values())
        finally:
            relay.process.kill()
            relay.process.wait()
    print(
        f"emergency, PostgreSQL killed: {processes} processes x {routers} routers on one relay; the command took "
        f"{answered:.2f} s, the first routed OLD after {routed[0]:.2f} s, all after {routed[-1]:.2f} s "
        f"(goal: {EMERGENCY_GOAL:g} s)",
        flush=True,
    )
    return [routed[-1] <= EMERGENCY_GOAL]


def at_rest(relay, server, number):
    """
    Measure and print what routers cost a relay, and the server behind it, while nothing happens.
    """
    used, began = (cpu_of(relay), cpu_of(server)), time.monotonic()
    time.sleep(AT_REST)
    took = time.monotonic() - began
    of_relay, of_server = (
        (now - before) / took for now, before in zip(map(cpu_of, (relay, server)), used, strict=True)
    )
    print(
        f"at rest: {of_relay:.1%} of a core for the relay, {of_server:.1%} for PostgreSQL; a router costs "
        f"{of_relay / number * 1e6:.0f} us and {of_server / number * 1e6:.0f} us a second"
    )


def rollback_at(url):
    command = [sys.executable, "-m", "cutover.cli", "rollback", "pay", "--emergency", "--reason", "benchmark"]
    return [*command, "--actor", "benchmark", "--store", url, "--migration", MIGRATION]


def on_url(url, processes, routers):
    """
    Measure a server that is not ours, whose CPU is not seen.
    """
    return [propagation(redacted(url), P99_GOAL, with_definition(url), url, processes, routers, 30)]


PARTS = {
    "postgresql": (on_postgresql, 100, 1),
    "valkey": (on_valkey, 100, 1),
    "relay": (on_relay,),
    "emergency": (on_emergency, 6, 50),
}


def main(arguments):
    """
    Measure what is asked for; the exit code says whether it is within the goals.
    """
    names = arguments[:1] or list(PARTS)
    within = []
    for name in names:
        part, *numbers = PARTS.get(name, (lambda *given: on_url(name, *given), 100, 1))  # noqa: B023 - called at once
        if numbers:
            numbers[: len(arguments) - 1] = map(int, arguments[1:])
        print(f"== {redacted(name)}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} before", flush=True)
        within += part(*numbers)
    return 0 if all(within) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
