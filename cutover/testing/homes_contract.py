"""
What every engine of homes is held to. Needs pytest, which `cutover.testing` itself does not.
"""

import asyncio
import threading
from collections.abc import Iterator, Mapping
from datetime import timedelta
from enum import Enum
from typing import Final, Protocol
from uuid import UUID

import pytest

from cutover.claims.homes import Homes
from cutover.claims.ids import Id
from cutover.core.backend import Backend
from cutover.errors import ConfigurationError, Unavailable
from cutover.ports.homes import Rehomed, Sides
from cutover.testing.fork_contract import in_child
from cutover.testing.store_helpers import MIGRATION, PATIENCE, until

__all__ = ["HomesContract", "HomesPlace"]

OLD, NEW = Backend.OLD, Backend.NEW
NASTY: Final = "naïve 東京 \U0001f6d2 \x00 \x7f \u2028 'quotes' \"double\" \\ \\x41 % %s {id} ? :name \r\n\t"
IDS: Final[tuple[Id, ...]] = (
    *(NASTY, "a", "A", "a ", " a", "é", "e\u0301", "-1", "0", "x" * 512, "é" * 256, "decode", "it's"),
    *(7, -7, 2**64, UUID(int=9), b"\xff\x00raw", b"'"),
)
SAME: Final = ((42, "42"), ("42", 42), (UUID(int=5), str(UUID(int=5))), ("é", "é".encode()))
WRONG_IDS: Final = ("", "x" * 513, "é" * 257, b"", "lone \ud800", None, 1.5, True, ("a",), 10**5000)
WRONG_KINDS: Final = ("", "Order", "a b", "-order", "x" * 65, "or'der", None, 7)
WRONG_SIDES: Final = ("", "  ", "legacy", None, 1, True)
SOON: Final = timedelta(milliseconds=150)
LATER: Final = timedelta(days=400)
MANY: Final = 2500  # more than an engine is given at once
RACERS: Final = 6


class Column(Enum):
    """
    A side as an enum column gives it back.
    """

    OLD = 0
    NEW = 1


class HomesPlace(Protocol):
    """
    Opens one more way into a fresh place, as another process would.
    """

    def __call__(self, *, migration: str | None = MIGRATION, keep: Mapping[str, timedelta] | None = None) -> Homes:
        """
        Open it.
        """
        ...


class HomesContract:
    """
    The contract as tests: a subclass defines the fixture `place` and inherits the rest.

    `place` is a `HomesPlace`; each test gets a place of its own. What was opened is closed by the contract.
    """

    @pytest.fixture
    def opened(self, place: HomesPlace) -> Iterator[HomesPlace]:
        """
        Open as `place` does, and close at the end.
        """
        every: list[Homes] = []

        def opening(*, migration: str | None = MIGRATION, keep: Mapping[str, timedelta] | None = None) -> Homes:
            every.append(place(migration=migration, keep=keep))
            return every[-1]

        yield opening
        for homes in every:
            homes.close()

    def test_nothing_yet(self, opened: HomesPlace) -> None:
        """
        A place that nobody claimed in holds no homes, and looking does not change that.
        """
        homes = opened()

        assert homes.find("order", "1") is None
        assert homes.find_many("order", ["1", "2"]) == {"1": None, "2": None}
        assert homes.find_many("order", []) == {}
        assert homes.counts() == {}

    def test_the_first_claim_wins(self, opened: HomesPlace) -> None:
        """
        Whoever claims later, through whatever way in, is told what the first one wrote.
        """
        homes, other = opened(), opened()

        assert homes.claim("order", "1", NEW) is NEW
        assert homes.claim("order", "1", "old") is NEW
        assert other.claim("order", "1", OLD) is NEW
        assert other.claim("order", "2", "old") is OLD
        assert homes.claim("order", "2", NEW) is OLD
        assert homes.find("order", "1") is NEW
        assert opened().find_many("order", ["1", "2", "3"]) == {"1": NEW, "2": OLD, "3": None}

    def test_ids(self, opened: HomesPlace) -> None:
        """
        Any id is taken to the letter, and none is taken for another.
        """
        homes = opened()
        sides = {id_: (OLD, NEW)[number % 2] for number, id_ in enumerate(IDS)}

        assert {id_: homes.claim("order", id_, side) for id_, side in sides.items()} == sides
        assert {id_: opened().find("order", id_) for id_ in IDS} == sides
        assert homes.find_many("order", IDS) == sides
        assert homes.claim_many("cart", sides) == sides
        assert opened().find_many("cart", IDS) == sides

    @pytest.mark.parametrize(("one", "other"), SAME)
    def test_the_same_id(self, opened: HomesPlace, one: Id, other: Id) -> None:
        """
        An int and a UUID are the same as their text, and a text is the same as its bytes.
        """
        homes = opened()

        homes.claim("order", one, NEW)

        assert homes.find("order", other) is NEW
        assert homes.claim_many("order", {one: OLD, other: OLD}) == {one: NEW, other: NEW}
        assert homes.claim_many("cart", {one: NEW, other: OLD}) == {one: NEW, other: NEW}

    def test_what_is_no_id_kind_or_side(self, opened: HomesPlace) -> None:
        """
        What cannot be meant is refused with what is allowed, and nothing is written.
        """
        homes = opened()
        homes.claim("order", "1", NEW)

        for id_ in WRONG_IDS:
            with pytest.raises(ConfigurationError, match=r"^the id .*allowed: text, int, UUID or bytes"):
                homes.claim("order", id_, NEW)  # type: ignore[arg-type]
            with pytest.raises(ConfigurationError, match=r"^the id "):
                homes.find("order", id_)  # type: ignore[arg-type]
        for kind in WRONG_KINDS:
            with pytest.raises(ConfigurationError, match=r"^the kind is .*allowed: 1 to 64 of a-z"):
                homes.claim(kind, "1", NEW)  # type: ignore[arg-type]
        for side in WRONG_SIDES:
            with pytest.raises(ConfigurationError, match=r"^the side is .*allowed: a Backend, 'old' or 'new'"):
                homes.claim("order", "2", side)  # type: ignore[arg-type]
        with pytest.raises(ConfigurationError):
            homes.claim_many("order", {"2": NEW, "": NEW})
        assert homes.counts() == {"order": Sides(new=1)}

    def test_sides_as_columns_give_them_back(self, opened: HomesPlace) -> None:
        """
        A side is the same in upper case, with padding, as bytes, and as a member of an enum.
        """
        homes = opened()

        for number, side in enumerate(("NEW", "new  ", b"new\0", Column.NEW)):
            assert homes.claim("order", number, side) is NEW  # type: ignore[arg-type]

    def test_kinds_and_migrations_are_apart(self, opened: HomesPlace) -> None:
        """
        The same id may live elsewhere in another kind or migration.
        """
        homes, other = opened(), opened(migration="other")

        assert homes.claim("order", "1", NEW) is NEW
        assert homes.claim("order-1", "1", OLD) is OLD
        assert other.claim("order", "1", OLD) is OLD

        assert homes.find("order", "1") is NEW
        assert homes.counts() == {"order": Sides(new=1), "order-1": Sides(old=1)}
        assert other.counts() == {"order": Sides(old=1)}

    def test_many(self, opened: HomesPlace) -> None:
        """
        Many things at once are claimed as one by one would be, however many.
        """
        homes = opened()
        homes.claim_many("order", dict.fromkeys(range(0, MANY, 2), NEW))

        held = homes.claim_many("order", dict.fromkeys(range(MANY), "old"))

        assert held == {number: (NEW, OLD)[number % 2] for number in range(MANY)}
        assert opened().find_many("order", range(MANY + 1)) == {**held, MANY: None}
        assert homes.counts() == {"order": Sides(old=MANY // 2, new=MANY // 2)}
        assert homes.claim_many("order", {}) == {}

    def test_expiry(self, opened: HomesPlace) -> None:
        """
        A home holds as long as its claim said, whatever others keep, and is then claimed anew.
        """
        homes = opened(keep={"cart": SOON, "order": LATER})
        other = opened()
        homes.claim("cart", "1", NEW)
        homes.claim_many("cart", {"2": NEW, "3": NEW})
        homes.claim("order", "1", NEW)
        other.claim("cart", "kept", NEW)

        assert until(lambda: other.find_many("cart", ["1", "2", "3"]) == {"1": None, "2": None, "3": None})

        assert other.counts() == {"cart": Sides(new=1), "order": Sides(new=1)}
        assert other.claim("cart", "1", OLD) is OLD
        assert homes.claim("cart", "1", NEW) is OLD
        assert homes.claim_many("cart", {"2": OLD, "kept": OLD}) == {"2": OLD, "kept": NEW}
        assert until(lambda: homes.find("cart", "2") is None)
        assert homes.find_many("cart", ["1", "kept"]) == {"1": OLD, "kept": NEW}
        assert homes.find("order", "1") is NEW

    @pytest.mark.parametrize("time", [timedelta(0), timedelta(-1), timedelta.max, 60, None])
    def test_what_is_no_time(self, place: HomesPlace, time: object) -> None:
        """
        A kind is kept for a time that can be meant, or for ever.
        """
        with pytest.raises(ConfigurationError, match=r"kind cart are kept for .*allowed: a timedelta"):
            place(keep={"cart": time})  # type: ignore[dict-item]

    def test_threads_race(self, opened: HomesPlace) -> None:
        """
        Of several threads that claim the same at once one wins, and all are told the same.
        """
        shared = opened()
        answers: dict[int, dict[str, Backend]] = {}
        start = threading.Barrier(RACERS)
        things = [f"thing {number}" for number in range(40)]

        def race(number: int) -> None:
            homes = shared if number % 2 else opened()
            side = (OLD, NEW)[number % 2]
            start.wait(PATIENCE)
            one_by_one = {thing: homes.claim("order", thing, side) for thing in things[:20]}
            answers[number] = one_by_one | homes.claim_many("order", dict.fromkeys(things[20:], side))

        racers = [threading.Thread(target=race, args=(number,)) for number in range(RACERS)]
        for racer in racers:
            racer.start()
        for racer in racers:
            racer.join(3 * PATIENCE)

        assert len(answers) == RACERS
        assert all(answer == answers[0] for answer in answers.values())
        assert shared.find_many("order", things) == answers[0]

    def test_rehome(self, opened: HomesPlace) -> None:
        """
        Things that are rehomed live on NEW wherever they lived; done again, nothing changes.
        """
        homes = opened(keep={"cart": SOON})
        opened().claim_many("order", {"1": OLD, "2": NEW})
        homes.claim("cart", "1", OLD)
        ids = [b"1", b"2", b"3", *(str(number).encode() for number in range(10, 10 + MANY))]
        would = homes.would_rehome("order", ids)

        assert homes.rehome("order", ids) == would == Rehomed(moved=1, already=1, new=MANY + 1)
        assert homes.rehome("order", ids) == Rehomed(already=MANY + 3)
        assert homes.find_many("order", ["1", "2", "3"]) == dict.fromkeys(("1", "2", "3"), NEW)
        assert homes.claim("order", "1", OLD) is NEW

        homes.rehome("cart", [b"1"])
        assert until(lambda: homes.find("cart", "1") is None)

    def test_which_migration(self, opened: HomesPlace) -> None:
        """
        Without a name it is the only migration that the place knows; if it knows none or several, nothing is guessed.
        """
        nameless = opened(migration=None)
        with pytest.raises(ConfigurationError, match=r"which migration is meant\? .* knows of none"):
            nameless.claim("order", "1", NEW)
        opened().claim("order", "1", NEW)

        assert nameless.migration == MIGRATION
        assert nameless.find("order", "1") is NEW

        opened(migration="other").claim("order", "1", OLD)
        assert nameless.find("order", "1") is NEW
        with pytest.raises(ConfigurationError, match=r"knows of several: other, shop"):
            opened(migration=None).find("order", "1")

    def test_async(self, opened: HomesPlace) -> None:
        """
        The twins for async code do the same, many at a time.
        """
        homes = opened()

        async def use() -> None:
            things = [f"thing {number}" for number in range(50)]
            claims = (homes.aclaim("order", thing, (OLD, NEW)[number % 2]) for number, thing in enumerate(things * 2))
            held = await asyncio.gather(*claims)
            assert held[:50] == held[50:] == [await homes.afind("order", thing) for thing in things]
            assert await homes.aclaim_many("order", dict.fromkeys(things, OLD)) == dict(zip(things, held, strict=False))
            assert await homes.afind_many("order", ["thing 0", "nothing"]) == {"thing 0": held[0], "nothing": None}
            with pytest.raises(ConfigurationError):
                await homes.afind("order", "")

        asyncio.run(use())

    def test_cancelled(self, opened: HomesPlace) -> None:
        """
        Tasks that are cancelled in the middle leave nothing behind that disturbs those after them.
        """
        homes = opened()

        async def use() -> None:
            tasks = [asyncio.create_task(homes.aclaim("order", number, NEW)) for number in range(40)]
            await tasks[0]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            held = {number: await homes.aclaim("order", number, OLD) for number in range(40)}
            assert held == await homes.afind_many("order", range(40))
            assert held[0] is NEW

        asyncio.run(use())

    def test_closed(self, opened: HomesPlace) -> None:
        """
        What was closed says so; closing twice does no harm, and another way in goes on.
        """
        homes, other = opened(), opened()
        homes.claim("order", "1", NEW)

        homes.close()
        homes.close()

        with pytest.raises(Unavailable, match="closed"):
            homes.claim("order", "1", NEW)
        with pytest.raises(Unavailable, match="closed"):
            asyncio.run(homes.afind("order", "1"))
        assert other.find("order", "1") is NEW

    def test_forks(self, opened: HomesPlace) -> None:
        """
        A child claims through what was opened and used before the fork and closes it, and the parent goes on.
        """
        homes = opened()
        homes.claim("order", "1", NEW)
        asyncio.run(homes.afind("order", "1"))

        def use() -> None:
            assert homes.claim("order", "1", OLD) is NEW
            assert asyncio.run(homes.aclaim("order", "2", OLD)) is OLD
            homes.close()

        assert in_child(use)

        assert homes.claim("order", "1", OLD) is NEW
        shared = not homes.url.startswith("memory:")  # what is in memory is the child's own
        assert homes.find("order", "2") is (OLD if shared else None)
