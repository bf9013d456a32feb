"""
What other processes do to homes in the tests: ``homes_worker.py VERB URL [ARGUMENT]``.
"""

import os
import sys

import cutover

MIGRATION = "shop"


def say(*words: object) -> None:
    """
    Print unbuffered, in one write: what was said before a SIGKILL was said.
    """
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


def claim_for_ever(url: str, name: str) -> None:
    """
    Claim thing after thing, and name each with its side once it is acknowledged.
    """
    homes, number = cutover.homes(url, migration=MIGRATION), 0
    while True:
        number += 1
        say(f"{name}-{number}", homes.claim("order", f"{name}-{number}", ("old", "new")[number % 2]))


def race(url: str, side: str, number: str) -> None:
    """
    When a line comes in, claim some things for a side, and say what holds.
    """
    homes = cutover.homes(url, migration=MIGRATION)
    say("ready")
    sys.stdin.readline()
    say(*(homes.claim("order", str(thing), side) for thing in range(int(number))))


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
