"""
What one relay does for many waiting clients: ``python benchmarks/relay.py [CLIENTS] [CHANGES]``.

The relay is `cutover serve` on a SQLite store in a temporary folder; the clients wait by long poll, all in one other
process on the same machine, so that what they cost is in the figures. Printed are the delays from a writer's
acknowledgement to each client's answer, how long the relay takes to end with all of them waiting, and how long it
takes after its start until all are back, which come again with full jitter.
"""

import asyncio
import json
import os
import random
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import uvloop

from cutover.core.migration import Migration
from cutover.files import write_whole
from cutover.operations.control import control

PORT = 8399
URL = f"http://127.0.0.1:{PORT}"
DEFINITION = 'name = "shop"\nold = "a"\nnew = "b"\n[flows.pay]\nweight = 1\n'
LENGTH = re.compile(rb"content-length: (\d+)")
HEAD = re.compile(rb'"head":{"epoch":(\d+),"hash":"(\w+)","version":(\d+)}')
FIRST_RETRY, LAST_RETRY = 0.1, 2.0  # as routers do
BUDGET_MS = 100
END_BUDGET, STORM_BUDGET = 3.0, 5.0  # seconds


class Client(asyncio.Protocol):
    """
    One that waits: a bare long poll on a kept connection, which notes when an answer is whole.
    """

    def __init__(self, out):
        self.out = out
        self.query = ""
        self.head = None
        self.fresh = True
        self.gone = None
        self.received = b""

    async def run(self):
        """
        Ask for ever; after a failure, with full jitter.
        """
        loop, failures = asyncio.get_running_loop(), 0
        while True:
            self.gone, self.fresh, self.received = loop.create_future(), True, b""
            try:
                await loop.create_connection(lambda: self, "127.0.0.1", PORT)
                failures = 1
                await self.gone
            except OSError:
                failures = min(failures + 1, 10)
            await asyncio.sleep(random.uniform(0, min(LAST_RETRY, FIRST_RETRY * 2**failures)))

    def connection_made(self, transport):
        """
        Ask at once.
        """
        self.transport = transport
        self.ask(0)

    def connection_lost(self, exc):
        """
        Let `run` come again.
        """
        del exc
        self.gone.set_result(None)

    def ask(self, wait):
        """
        Send one request.
        """
        path = f"/v1/migrations/shop/snapshot?wait={wait}{self.query}"
        self.transport.write(f"GET {path} HTTP/1.1\r\nHost: relay\r\n\r\n".encode())

    def data_received(self, data):
        """
        Note an answer once it is whole, and ask again.
        """
        self.received += data
        header, end, body = self.received.partition(b"\r\n\r\n")
        if not end or len(body) < int(LENGTH.search(header)[1]):
            return
        at, self.received = time.monotonic(), b""
        found = HEAD.search(body)
        if found is None:
            self.transport.close()
            return
        head = tuple(part.decode() for part in found.groups())
        if self.fresh or head != self.head:
            self.out.append((at, int(head[2]), self.fresh))
        self.fresh, self.head = False, head
        self.query = f"&epoch={head[0]}&hash={head[1]}&version={head[2]}"
        self.ask(25)


async def wait_many(number, out):
    """
    Run all clients, and write down what they saw, each half second.
    """
    seen = []
    tasks = [asyncio.create_task(Client(seen).run()) for _ in range(number)]
    while tasks:
        await asyncio.sleep(0.5)
        write_whole(Path(out), json.dumps(seen).encode())


def served(folder):
    """
    Start the relay.
    """
    command = [sys.executable, "-m", "cutover.cli", "serve", "--store", f"sqlite:///{folder}/shop.db"]
    return subprocess.Popen(
        [*command, "--listen", f"127.0.0.1:{PORT}", "--state", f"{folder}/state"], stderr=subprocess.DEVNULL
    )


def seen_by(out, enough):
    """
    Wait until the clients have written down enough.
    """
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        time.sleep(0.2)
        seen = json.loads(out.read_text()) if out.exists() else []
        if enough(seen):
            return seen
    raise SystemExit("the clients did not see what they should have seen")


def memory_of(process):
    """
    Give the resident memory of a process in MB.
    """
    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))


def cpu_of(process):
    """
    Give the seconds of CPU that a process has used.
    """
    fields = Path(f"/proc/{process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def propagation(folder, out, relay, clients, changes):
    """
    Measure and print the delays, and give the 99th percentile.
    """
    written, used = {}, cpu_of(relay)
    with control(f"sqlite:///{folder}/shop.db", actor="benchmark") as direct:
        for number in range(changes):
            time.sleep(random.uniform(0.3, 0.6))
            version = direct.set("pay", number % 100 + 1, reason="on").version
            written[version] = time.monotonic()
    last = max(written)
    seen = seen_by(out, lambda seen: sum(version == last for _, version, _ in seen) == clients)
    delays = sorted(max(at - written[version], 0) * 1000 for at, version, fresh in seen if version in written)
    used = (cpu_of(relay) - used) / len(delays) * 1e6
    p99 = statistics.quantiles(delays, n=100)[98]
    print(
        f"commit to answer, {clients} clients, {changes} changes: {len(delays)} of {clients * changes} answers, "
        f"p50 {statistics.median(delays):.1f} ms, p99 {p99:.1f} ms, max {delays[-1]:.1f} ms; "
        f"{used:.0f} us of the relay's CPU for each"
    )
    return p99


def end_and_storm(folder, out, relay, clients):
    """
    Measure and print how the relay ends and how its clients come back.
    """
    before = len(json.loads(out.read_text()))
    began = time.monotonic()
    relay.send_signal(signal.SIGTERM)
    code = relay.wait(30)
    ended = time.monotonic() - began
    print(f"end with {clients} waiting: {ended:.2f} s, exit code {code}")
    time.sleep(3)
    relay = served(folder)
    try:
        began = time.monotonic()
        seen = seen_by(out, lambda seen: len({i for i, _ in enumerate(seen[before:])}) >= clients)
        back = sorted(at for at, _, fresh in seen[before:] if fresh)[:clients]
        storm = back[-1] - back[0]
        print(f"reconnect of {clients}: first {back[0] - began:.2f} s after the start, all {storm:.2f} s later")
    finally:
        relay.terminate()
        relay.wait(30)
    return code, ended, storm


def main(clients, changes):
    """
    Measure everything; the exit code says whether it is within the budget.
    """
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "seen.json")
        with control(f"sqlite:///{folder}/shop.db", actor="benchmark") as direct:
            direct.apply(Migration.parse(DEFINITION))
        relay = served(folder)
        waiting = subprocess.Popen([sys.executable, __file__, "--wait", str(clients), str(out)])
        try:
            seen_by(out, lambda seen: len(seen) >= clients)
            idle, began = cpu_of(relay), time.monotonic()
            time.sleep(3)
            share = (cpu_of(relay) - idle) / (time.monotonic() - began)
            print(f"waiting: {share:.1%} of a core, {memory_of(relay):.0f} MB")
            p99 = propagation(folder, out, relay, clients, changes)
            code, ended, storm = end_and_storm(folder, out, relay, clients)
        finally:
            for process in (waiting, relay):
                process.kill()
                process.wait()
    return 0 if code == 0 and p99 <= BUDGET_MS and ended < END_BUDGET and storm < STORM_BUDGET else 1


if __name__ == "__main__":
    if sys.argv[1:2] == ["--wait"]:
        uvloop.run(wait_many(int(sys.argv[2]), sys.argv[3]))
    else:
        sys.exit(main(*(map(int, sys.argv[1:])), *(1000, 20)[len(sys.argv) - 1 :]))
