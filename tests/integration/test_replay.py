"""
A half year of a real shop, replayed while dials move: nobody who buys is split.
"""

import csv
import gzip
import json
import random
import subprocess
import sys
from collections import Counter, defaultdict
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path

import attrs
import pytest

import cutover
from cutover.core.defined import Flow, Journey
from cutover.core.migration import Migration
from cutover.operations.control import Control

HERE = Path(__file__).parent
CLICKS = HERE.parents[1] / "demo" / "data" / "ecom.csv.gz"
EVENTS = {
    "cart": {"add_to_cart", "cart"},
    "checkout": {"shipping_details", "checkout_bug"},
    "pay": {"payment_details", "purchase", "payment_error"},
}
FLOW_OF = {event: flow for flow, events in EVENTS.items() for event in events}
SHOP = Migration(
    name="shop",
    title="Shop",
    old="old",
    new="new",
    salt="shop",
    flows={name: Flow(name=name) for name in ("browse", *EVENTS)},
    journeys={"purchase": Journey(name="purchase", flows=tuple(EVENTS), ttl=timedelta(hours=4))},
)
LAGS = (1, 15, 60, 250)  # steps of its own after which each process reads the store
EVERY = 20  # steps between two changes
FIRST = 40  # percent, and after a rollback again
MOST = 10  # percentage points by which a dial moves


class Worker(subprocess.Popen):
    """
    One process that serves steps.
    """

    def serve(self, step: dict) -> dict:
        """
        Serve one.
        """
        self.stdin.write(json.dumps(step) + "\n")
        self.stdin.flush()
        return json.loads(self.stdout.readline())


@attrs.define
class Session:
    """
    One client, and what it saw.

    Attributes:
        served: The sides that steps of the journey were served on.
        evicted: The rollbacks that it met.
        flags: The sides that it would have seen, by the kind of flags.
    """

    token: str | None = None
    served: list[str] = attrs.field(factory=list)
    evicted: int = 0
    flags: dict[str, set[bool]] = attrs.field(factory=lambda: defaultdict(set))

    @property
    def moves(self) -> int:
        """
        How often it changed sides.
        """
        return sum(before != after for before, after in zip(self.served, self.served[1:], strict=False))


class Operator:
    """
    Somebody who moves some dial every few minutes, and now and then rolls something back and raises it again.
    """

    def __init__(self, control: Control) -> None:
        self._control = control
        self._random = random.Random(5)
        self._dials = dict.fromkeys(SHOP.flows, FIRST)
        self.did = Counter()

    def act(self) -> None:
        """
        Make one change: of a single flow most often, or of the journey; one in thirty is a rollback.
        """
        down = [flow for flow, percent in self._dials.items() if percent == 0]
        target = self._random.choice(down or ("browse", *EVENTS, *EVENTS, "purchase"))
        if down:
            self._set("raise again", target if target == "browse" else "purchase", FIRST)
        elif self._random.random() < 1 / 30:
            self._control.rollback(target, reason="a test")
            self._note("rollback", target if target == "browse" else "purchase", 0)
        else:
            percent = self._dials[_flows(target)[0]] + self._random.randint(-MOST, MOST)
            kind = "of the journey" if target == "purchase" else "of one flow"
            self._set(kind, target, min(max(percent, 10), 100))

    def _set(self, kind: str, target: str, percent: int) -> None:
        self._control.set(target, percent, reason="a test")
        self._note(kind, target, percent)

    def _note(self, kind: str, target: str, percent: int) -> None:
        self._dials.update(dict.fromkeys(_flows(target), percent))
        self.did[kind] += 1


def _flows(target: str) -> tuple[str, ...]:
    return tuple(EVENTS) if target == "purchase" else (target,)


def buyers() -> list[tuple[str, str, str]]:
    """
    Give user, session and flow of each step of those sessions that went beyond browsing, oldest first.
    """
    with gzip.open(CLICKS, "rt", encoding="utf-8", newline="") as file:
        rows = sorted(csv.DictReader(file), key=lambda row: row["timestamp"])
    buying = {row["session_id"] for row in rows if row["event"] in FLOW_OF}
    return [
        (row["user_id"], row["session_id"], FLOW_OF.get(row["event"], "browse"))
        for row in rows
        if row["session_id"] in buying
    ]


@pytest.fixture
def store(tmp_path):
    """
    A store with the shop in it.
    """
    path = tmp_path / "shop.db"
    with cutover.control(f"sqlite:///{path}", actor="rina") as control:
        control.apply(SHOP)
        for flow in SHOP.flows:
            control.set(flow, FIRST, reason="begin")
        yield path, control


def replay(steps, workers, operator) -> dict[str, Session]:
    """
    Serve each step by a process that is drawn for it, as behind a load balancer.
    """
    choose = random.Random(7)
    sessions: dict[str, Session] = defaultdict(Session)
    for number, (user, name, flow) in enumerate(steps):
        if number % EVERY == 0:
            operator.act()
        session = sessions[name]
        answer = choose.choice(workers).serve({"user": user, "token": session.token, "flow": flow})
        session.token = answer["token"] or session.token
        session.evicted += answer["evicted"]
        if flow in EVENTS:
            session.served.append(answer["side"])
            for kind, flags in answer["flags"].items():
                session.flags[kind].add(flags)
    return sessions


def test_no_buyer_is_split(store):
    """
    Through four processes that read at different times, with a change every 20 steps, nobody is split who met no
    rollback, and who met one only towards OLD; with a flag for each flow many are.
    """
    path, control = store
    steps, operator = buyers(), Operator(control)
    with ExitStack() as stack:
        command = [sys.executable, str(HERE / "replay_worker.py"), str(path)]
        workers = [
            stack.enter_context(Worker([*command, str(lag)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
            for lag in LAGS
        ]
        for worker in workers:
            stack.callback(worker.kill)
        sessions = replay(steps, workers, operator)
        for worker in workers:
            worker.stdin.close()
        assert [worker.wait(30) for worker in workers] == [0] * len(LAGS)

    bought = {name: session for name, session in sessions.items() if session.served}
    split = {name for name, session in bought.items() if session.moves}
    by_flags = Counter(kind for s in bought.values() for kind, sides in s.flags.items() if len(sides) > 1)
    on_new = sum(session.served[0] == "new" for session in bought.values())
    evicted = sum(session.evicted > 0 for session in bought.values())
    sys.stdout.write(
        f"\n{len(bought)} journeys in {len(steps)} steps, {on_new} of them on NEW; changes: {dict(operator.did)}\n"
        f"split: {len(split)}, all by a rollback, which {evicted} met; by flags: {dict(by_flags)}\n"
    )
    assert {name for name in split if not bought[name].evicted} == set()
    assert all(session.moves <= session.evicted for session in bought.values())
    assert all(session.served == sorted(session.served) for session in bought.values())  # NEW, and then OLD
    # Else it would show nothing.
    assert on_new > len(bought) / 10
    assert by_flags["a salt for each"] > by_flags["one salt"] > by_flags["without visits"] > len(bought) / 100
