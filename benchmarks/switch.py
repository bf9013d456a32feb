"""
What a call through a switch costs, beside the floor, beside awaiting the bare coroutine, and beside LaunchDarkly's
`Migrator.read`, where `launchdarkly-server-sdk` is installed.

    python benchmarks/switch.py

Prints a line for each figure with its target, and exits 1 where one is missed.
"""

import asyncio
import logging
import sys
import threading
import time
from contextlib import suppress

import attrs
import structlog
from timing import KEYS, floor, per_key

import cutover.testing
from cutover.core.bucketing import PARTS
from cutover.router.holding import Holding
from cutover.router.notices import NoticeBoard

TIMES_FLOOR = 25
TIMES_MIGRATOR = 15
missed = []


def report(what, took, least, target=None, of="floor"):
    line = f"{what:<52} {took:>9,.0f} ns  {took / least:6.1f}x {of}"
    if target is not None:
        reached = took / least <= target
        line += f"  (target {target}{'' if reached else ', MISSED'})"
        if not reached:
            missed.append(what)
    print(line)


def answer(_key):
    return 1


async def answer_later(_key):
    return 1


def flow_with(shadow=0):
    """
    Give a flow that has a quarter of its keys on NEW, and the other side asked too for some.
    """
    snapshot = cutover.testing.router(pay=25).snapshot
    holding = Holding(NoticeBoard(), None)
    holding.take_snapshot(attrs.evolve(snapshot, shadows={"pay": shadow}), None)
    return holding.flow("pay")


def per_await(call, *, number=50_000, rounds=7):
    """
    Give the nanoseconds that it takes to call a coroutine function with a key and await it.
    """
    keys = (KEYS * (number // len(KEYS) + 1))[:number]

    async def run():
        began = time.perf_counter_ns()
        for key in keys:
            await call(key)
        return (time.perf_counter_ns() - began) / number

    return min(asyncio.run(run()) for _ in range(rounds))


def synchronous():
    least, pay = per_key(floor), flow_with()
    plain = per_key(pay.switch(old=answer, new=answer))
    least = min(least, per_key(floor, rounds=3))
    report("floor", least, least)
    report("route", per_key(pay.route), least)
    report("switch", plain, least, TIMES_FLOOR)
    cases = {
        "switch, safe, with shadow off": (pay, {"safe": True}),
        "switch with a home of the call": (pay, {"home": lambda _: "new"}),
        "switch that looks for failures": (pay, {"failed": lambda _: False}),
        "switch, safe, shadow for one key in 1,000": (flow_with(100), {"safe": True}),
    }
    for what, (flow, more) in cases.items():
        report(what, per_key(flow.switch(old=answer, new=answer, **more), number=50_000), least)
    report("request block", per_key(lambda key: _block(pay, key), number=50_000), least)
    every = flow_with(PARTS)
    took = per_key(every.switch(old=answer, new=answer, safe=True), number=5_000, rounds=3)
    report(f"switch, safe, shadow for every key ({threading.active_count()} threads)", took, least)
    return plain


def _block(flow, key):
    with flow.request(key):
        pass


def asynchronous():
    bare = per_await(answer_later)
    report("await of the bare coroutine", bare, bare, of="bare")
    pay = flow_with()
    report("async switch", per_await(pay.switch(old=answer_later, new=answer_later)), bare, TIMES_FLOOR, of="bare")
    safe = pay.switch(old=answer_later, new=answer_later, safe=True)
    report("async switch, safe, with shadow off", per_await(safe), bare, of="bare")
    every = flow_with(PARTS).switch(old=answer_later, new=answer_later, safe=True)
    report("async switch, safe, shadow for every key", per_await(every, number=5_000), bare, of="bare")


def migrator(plain):
    took = None
    with suppress(ImportError):
        took = per_key(_migrator_read(), number=5_000, rounds=3)
    if took is None:
        print("launchdarkly-server-sdk is not installed: no comparison")
        return
    reached = took / plain >= TIMES_MIGRATOR
    target = f"(target {TIMES_MIGRATOR}{'' if reached else ', MISSED'})"
    print(f"{'LaunchDarkly, Migrator.read':<52} {took:>9,.0f} ns  {took / plain:6.1f}x switch {target}")
    if not reached:
        missed.append("Migrator.read")


def _migrator_read():
    """
    Give a read of a migration that is complete: of one side alone, as the switch does.
    """
    import ldclient  # noqa: PLC0415 - it may be missing
    from ldclient.config import Config  # noqa: PLC0415
    from ldclient.integrations.test_data import TestData  # noqa: PLC0415
    from ldclient.migrations import MigratorBuilder, Result, Stage  # noqa: PLC0415

    flags = TestData.data_source()
    stages = ("off", "dualwrite", "shadow", "live", "rampdown", "complete")
    flags.update(flags.flag("pay").variations(*stages).variation_for_all(len(stages) - 1))
    client = ldclient.LDClient(Config("sdk", update_processor_class=flags, send_events=False))
    contexts = {key: ldclient.Context.create(key) for key in KEYS}

    def succeed(_payload):
        return Result.success(1)

    builder = MigratorBuilder(client).read(succeed, succeed, None).write(succeed, succeed)
    built = builder.track_latency(False).track_errors(False).build()
    return lambda key: built.read("pay", contexts[key], Stage.COMPLETE)


if __name__ == "__main__":
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    logging.disable(logging.CRITICAL)
    print(f"Python {sys.version.split()[0]}")
    plain = synchronous()
    asynchronous()
    migrator(plain)
    sys.exit(bool(missed))
