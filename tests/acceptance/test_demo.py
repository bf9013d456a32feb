"""
The demo as a subprocess: a short run that proves its claims, and the ends that nobody wants.
"""

import fcntl
import os
import re
import select
import signal
import sqlite3
import struct
import subprocess
import sys
import termios
from contextlib import closing, suppress
from pathlib import Path

import attrs
import pytest

import cutover
from cutover.operations.control import control as open_control
from cutover.testing.store_helpers import until
from demo.both import carts_proof, comparisons_proof
from demo.flags import side_by_flag
from demo.prices import half_even, half_up, prices_shown
from demo.purchases import attempts_proof, split_proof
from demo.replay import FINEST
from demo.shop_database import Left
from demo.stage import WORKERS
from demo.traffic import RETRY, WEB_HOOK, Step, read_steps, share_of
from demo.trail import Trace

ROOT = Path(__file__).parents[2]
PATIENCE = 90  # seconds; a busy machine may be slow
SHOPS = {"old": "tiktok", "new": "tokopedia"}
LONG = ("--seconds", "600")
NOTHING = Left(carts=frozenset(), lines={}, orders=frozenset(), payments=frozenset(), confirmations=0)


@pytest.fixture
def start(tmp_path):
    """
    Starts the demo in an empty folder; what still runs at the end is killed.
    """
    started = []

    def start_demo(*options):
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("CUTOVER", "COV"))}
        process = subprocess.Popen(
            [sys.executable, "-W", "error", "-m", "demo", *options],
            cwd=tmp_path,
            env={**environment, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", "COLUMNS": "160"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        started.append(process)
        return process

    yield start_demo
    for process in started:
        process.kill()
        process.communicate()


def finished(process):
    """
    Wait for its end, and give what it wrote and its exit code.
    """
    output, _ = process.communicate(timeout=PATIENCE)
    return output, process.returncode


def children_of(process):
    """
    List the processes that a process has started: id and command.
    """
    listed = subprocess.run(["ps", "-axww", "-o", "pid=,ppid=,command="], capture_output=True, text=True, check=True)
    rows = [line.split(maxsplit=2) for line in listed.stdout.splitlines()]
    return {int(pid): command for pid, parent, command in rows if int(parent) == process.pid}


def is_alive(pid):
    """
    Tell whether a process runs.
    """
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def replaying(process, line="metrics: "):
    """
    Wait until the demo has written a line, at first that all is up, and give its children of the long-lived kinds.
    """
    output = ""
    while line not in output:
        written = process.stdout.readline()
        assert written, output
        output += written
    return {pid: command for pid, command in children_of(process).items() if "-m demo." in command}


def rows(path, query):
    """
    Read from a shop's database.
    """
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(query).fetchall()


def write(folder, shop, statement):
    """
    Write into a shop's database beside the shop.
    """
    with closing(sqlite3.connect(folder / "demo-run" / f"{shop}.db", timeout=30)) as connection, connection:
        connection.execute(statement)


def test_short_run(start, tmp_path):
    """
    Each order is in one database, and the store's totals are what the back ends saw, with the dials at 100% at the end.
    """
    output, code = finished(start("--events", "1500", "--no-wait"))

    assert code == 0, output
    assert (output.count("holds  "), output.count("FAILS")) == (9, 0)
    folder = tmp_path / "demo-run"
    orders = [{row for (row,) in rows(folder / f"{shop}.db", "select session from orders")} for shop in SHOPS.values()]
    assert all(orders)
    assert not orders[0] & orders[1]
    seen = {side: dict(rows(folder / f"{shop}.db", "select flow, requests from seen")) for side, shop in SHOPS.items()}
    with open_control(f"sqlite:///{folder}/cutover.db") as control:
        status, verification = control.status(), control.verify()
        verbs = [change.verb for change in control.history()]
        (compared,) = control.mismatches("browse").flows
    assert {f.name: (f.old_requests, f.new_requests) for f in status.flows} == {
        flow: (seen["old"][flow], seen["new"][flow]) for flow in ("browse", "cart", "checkout", "pay")
    }
    assert sum(sum(flows.values()) for flows in seen.values()) >= 1500
    carts = [
        set(rows(folder / f"{shop}.db", "select user, sequence, session, items from carts")) for shop in SHOPS.values()
    ]
    assert carts[0] == carts[1] != set()
    assert compared.verdicts["mismatch"] > 0
    assert re.search(r"prices\.article-7 +24305 +24304", output)
    assert verification.ok
    assert (status.progress.target, verbs.count("rollback")) == (1, 1)
    with cutover.homes(f"sqlite:///{folder}/homes.db") as homes:
        for side, of_side in zip(cutover.Backend, orders, strict=True):
            assert set(homes.find_many("order", of_side).values()) == {side}
        for side, shop in zip(cutover.Backend, SHOPS.values(), strict=True):
            attempts = [key for (key,) in rows(folder / f"{shop}.db", "select key from payments")]
            assert set(homes.find_many("attempt", [f"pay:{key}" for key in attempts]).values()) == {side}


def test_failed_proofs(start, tmp_path):
    """
    What only a back end has seen, a cart in both or a payment of no order, fails its proof, and the demo exits with 1.
    """
    process = start("--events", "600", "--no-wait")
    replaying(process, "set browse 1 ")
    write(tmp_path, "tiktok", "insert into orders values ('stray', 'nobody', 'placed')")
    write(tmp_path, "tiktok", "insert into payments values ('stray-1', 'stray', 'paid')")
    write(tmp_path, "tiktok", "insert into confirmations values ('stray')")
    write(tmp_path, "tiktok", "update seen set requests = requests + 1 where flow = 'browse'")
    for shop in SHOPS.values():
        write(tmp_path, shop, "insert into carts values ('nobody', 1, 'split', 1, 0)")
        write(tmp_path, shop, f"insert into answers values (-1, '{shop}')")
    output, code = finished(process)

    assert code == 1
    assert [claim.strip() for claim in re.findall(r"FAILS  (.{14})", output)] == [
        "Each order is",
        "No purchase is",
        "No order is at",
        "Each web hook",
        "Both shops hav",
        "Each wrong pri",
        "/metrics count",
        "`cutover statu",
    ]
    assert "holds  The ledger verifies" in output


@pytest.mark.parametrize(
    ("victim", "name"), [("--share 1 3", "worker-1"), ("tiktok.db", "tiktok"), ("tokopedia.db", "tokopedia")]
)
def test_crash(start, victim, name):
    """
    Where a process of the demo is killed, the demo says which, exits with 1 and leaves no process.
    """
    process = start(*LONG)
    children = replaying(process)
    os.kill(next(pid for pid, command in children.items() if victim in command), signal.SIGKILL)
    output, code = finished(process)

    assert code == 1, output
    assert f"the demo failed: {name} has ended, exit code -9" in output
    assert len(children) == 6
    assert not any(map(is_alive, children))


@pytest.mark.parametrize(
    ("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -signal.SIGKILL)]
)
def test_interrupted(start, sent, code):
    """
    A demo that is interrupted, terminated or killed leaves no process.
    """
    process = start(*LONG)
    children = replaying(process)
    process.send_signal(sent)
    output, ended = finished(process)

    assert ended == code, output
    assert len(children) == 6
    assert until(lambda: not any(map(is_alive, children)), PATIENCE)


def traced(number, side, **facts):
    """
    Make a trace of one request of a purchase.
    """
    usual = {"session": "s", "user": "u", "flow": "cart", "event": "cart", "version": 1, "parts": 50_000}
    return Trace(number=number, side=side, **{**usual, **facts})


@pytest.mark.parametrize(
    ("sides", "versions", "evicted", "holds"),
    [
        ("new new", (1, 9), 0, True),
        ("new old", (1, 2), 1, True),  # version 2 is the rollback
        ("new old", (1, 2), 0, False),  # no router counted that
        ("new old", (1, 1), 1, False),
        ("new old", (3, 3), 1, False),
        ("old new", (1, 2), 1, False),
        ("new old new", (1, 2, 3), 1, False),
    ],
)
def test_split(sides, versions, evicted, holds):
    """
    A purchase may be on both sides only where the rollback took it from NEW, once, and a router counted that.
    """
    steps = enumerate(zip(sides.split(), versions, strict=True))
    traces = [traced(number, side, version=version) for number, (side, version) in steps]

    assert split_proof(traces, (NOTHING, NOTHING), evicted, rolled_back_at=2).holds is holds


def test_split_by_back_ends():
    """
    A purchase that both back ends hold is split, whatever the application has written down.
    """
    carts = (attrs.evolve(NOTHING, carts={"s"}), attrs.evolve(NOTHING, orders={"s"}))

    assert not split_proof([traced(0, "old")], carts, 0, rolled_back_at=2).holds


@pytest.mark.parametrize(("sides", "holds"), [("old old", True), ("old new", False)])
def test_attempts(sides, holds):
    """
    A payment that is tried again on the other side fails the proof.
    """
    facts = [{"event": event, "flow": "pay"} for event in ("purchase", "payment_retry")]
    traces = [traced(number, side, **facts[number]) for number, side in enumerate(sides.split())]
    left = (attrs.evolve(NOTHING, payments={"s"}), NOTHING)

    assert attempts_proof(traces, left).holds is holds


PUT = Step(at="2024-05-19", user="u", session="s", event="add_to_cart")
LINE = ("u", 1, "s", 1)


@pytest.mark.parametrize(
    ("old", "new", "owed", "holds"),
    [
        ({LINE: False}, {LINE: True}, 0, True),
        ({LINE: False}, {}, 0, False),  # the other side never got it
        ({LINE: False}, {LINE: True}, 1, False),
        ({LINE: False}, {LINE: False}, 0, False),  # both were asked first
        ({LINE: True}, {LINE: True}, 0, False),
        ({}, {}, 0, False),
        ({LINE: False, ("u", 2, "s", 1): False}, {LINE: True, ("u", 2, "s", 1): True}, 0, False),  # nobody wanted it
        ({LINE: False}, {("u", 1, "s", 0): True}, 0, False),
    ],
)
def test_carts(old, new, owed, holds):
    """
    Carts that differ, lack what a user did, hold what nobody did, or are owed to a side fail the proof.
    """
    left = {"tiktok": attrs.evolve(NOTHING, lines=old), "tokopedia": attrs.evolve(NOTHING, lines=new)}

    assert carts_proof([PUT], left, owed).holds is holds


@pytest.mark.parametrize(
    ("found", "holds"),
    [
        ({"match": 1, "mismatch": 1}, True),
        ({"match": 2}, False),
        ({"mismatch": 2}, False),
        ({"match": 1, "timeout": 1}, True),  # nobody knows
        ({"match": 1, "mismatch": 1, "noise_mismatch": 1}, False),
    ],
)
def test_comparisons(found, holds):
    """
    Whoever finds fewer or more wrong answers than were given, or one where OLD was asked twice, fails the proof.
    """
    answers = ({1: "10", 2: "10", 3: "10"}, {1: "10", 2: "11", 4: "11"})

    assert comparisons_proof(answers, found).holds is holds


def test_prices():
    """
    The two ways to round give the same prices but for one article, which many pages show.
    """
    pages = [(prices_shown(number, half_up), prices_shown(number, half_even)) for number in range(200)]
    wrong = [{article for article in right if right[article] != other[article]} for right, other in pages]

    assert set().union(*wrong) == {"article-7"}
    assert sum(map(bool, wrong)) > 20


def test_flag():
    """
    A flag has a salt for each flow, and the percentage of its moment: at the ends all go to one side, between them a
    user's flows are on both.
    """
    users = [f"user-{number}" for number in range(100)]
    flows = ("cart", "checkout", "pay")
    by_flag = {
        parts: [{side_by_flag(traced(0, "old", user=user, flow=flow, parts=parts)) for flow in flows} for user in users]
        for parts in (0, 50_000, 100_000)
    }

    assert all(sides == {cutover.Backend.OLD} for sides in by_flag[0])
    assert all(sides == {cutover.Backend.NEW} for sides in by_flag[100_000])
    assert sum(len(sides) == 2 for sides in by_flag[50_000]) > 50


@pytest.mark.parametrize("events", [1, 600, None])
def test_later(events):
    """
    Each lost answer is tried again and each web hook comes in another process than the payment, a stretch later.
    """
    steps = read_steps(events)
    shares = {step.number: worker for worker in range(WORKERS) for step in share_of(steps, worker, WORKERS)}
    paid = {step.session: step for step in reversed(steps) if step.event == "purchase"}
    lost = {step.payment: step for step in steps if step.lost}
    causes = {step: lost[step.payment] for step in steps if step.event == RETRY}
    causes |= {step: paid[step.session] for step in steps if step.event == WEB_HOOK}

    assert [step.number for step in steps] == list(range(len(steps))) == sorted(shares)
    assert sorted(lost) == sorted(step.payment for step in steps if step.event == RETRY)
    assert all(later.number - cause.number > len(steps) // FINEST + 1 for later, cause in causes.items())
    assert all(shares[later.number] != shares[cause.number] for later, cause in causes.items())
    assert causes or events == 1


def test_two_at_once(start, tmp_path):
    """
    A second run in the same folder is one error, and the first one goes on; afterwards the folder is free again.
    """
    first = start(*LONG)
    replaying(first)
    store = (tmp_path / "demo-run" / "cutover.db").stat().st_ino

    output, code = finished(start())

    assert code == 1
    assert output == (
        "the demo failed: another demo runs in demo-run; wait for its end, or run this one by: "
        "python -m demo --folder ANOTHER\n"
    )
    assert (tmp_path / "demo-run" / "cutover.db").stat().st_ino == store
    assert first.poll() is None

    first.terminate()
    finished(first)
    assert "metrics: " in finished(start("--no-wait", "--events", "30"))[0]


def test_small_terminal(tmp_path):
    """
    The commands are seen in a terminal of 60 columns and 24 rows, which has no room for all of the status.
    """
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 60, 0, 0))
    environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES", "NO_COLOR")}
    process = subprocess.Popen(
        [sys.executable, "-m", "demo", "--seconds", "60"],
        cwd=tmp_path,
        env={**environment, "PYTHONPATH": str(ROOT), "TERM": "xterm"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    shown = b""

    def is_seen():
        nonlocal shown
        with suppress(OSError):  # the other end is closed
            if select.select([ours], [], [], 0.1)[0]:
                shown += os.read(ours, 65536)
        return b"cutover set browse 0 --shadow 25" in shown

    try:
        assert until(is_seen, PATIENCE), shown
    finally:
        process.terminate()
        until(lambda: (is_seen(), process.poll())[1] is not None, PATIENCE)
        os.close(ours)


def test_foreign_folder(start, tmp_path):
    """
    A folder that no demo has left is not touched.
    """
    (tmp_path / "demo-run").mkdir()
    (tmp_path / "demo-run" / "thesis.txt").write_text("mine")
    output, code = finished(start())

    assert code == 1
    assert "was not left by a demo" in output
    assert (tmp_path / "demo-run" / "thesis.txt").read_text() == "mine"
