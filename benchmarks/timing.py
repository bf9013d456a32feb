"""
Timing for the benchmarks: the least of several rounds, and ratios within one run, because machines are shared.
"""

import time
from collections.abc import Callable

import mmh3

KEYS = [f"user-{number}" for number in range(1024)]
TABLE = {"pay": 1 << 30}


def floor(key, flow="pay", table=TABLE, hash_of=mmh3.hash):
    """
    One hash, one look-up, one comparison: what no router can go below in Python.
    """
    return "new" if hash_of(key) < table[flow] else "old"


def per_key(call: Callable, *, number: int = 200_000, rounds: int = 7) -> float:
    """
    Give the nanoseconds that one call with a key takes.
    """
    keys = (KEYS * (number // len(KEYS) + 1))[:number]
    best = float("inf")
    for _ in range(rounds):
        began = time.perf_counter_ns()
        for key in keys:
            call(key)
        best = min(best, (time.perf_counter_ns() - began) / number)
    return best


def milliseconds(call: Callable, *, rounds: int = 7) -> float:
    """
    Give the milliseconds that one call takes.
    """
    best = float("inf")
    for _ in range(rounds):
        began = time.perf_counter_ns()
        call()
        best = min(best, (time.perf_counter_ns() - began) / 1e6)
    return best
