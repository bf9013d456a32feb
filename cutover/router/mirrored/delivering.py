"""
What brings mirrored writes to the side that missed them: one thread a process and outbox, which hands each write that
is due to a thread of its own.
"""

import threading
import uuid
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from time import monotonic
from typing import Final

import attrs

from cutover.chance import CHANCE
from cutover.errors import ConfigurationError, StoreError, Unavailable
from cutover.forks import PerProcess
from cutover.mirror.functions import other_side
from cutover.ports.outbox import Entry, Intent, Outbox, Shortfall, State, Statements
from cutover.returned import NotRun
from cutover.router.log import log
from cutover.router.mirrored.work import UnderWay, Work
from cutover.router.strangers import kind_of

__all__ = ["Mirror"]

POLL: Final = 1.0  # seconds between looks at the outbox
LONGEST_ERROR: Final = 500
COUNT_EVERY: Final = 5.0  # seconds
REGISTER_EVERY: Final = 60.0  # seconds; whoever looks takes a write that is on record no more for one that is gone
LEAVE_WITHIN: Final = 0.5  # seconds that `close` waits for what is under way

Show = Callable[[str, str, Sequence[Shortfall]], None]


@attrs.define(eq=False)
class _Hold:
    """
    A lease of this process.

    Attributes:
        until: On the monotonic clock; not later than the outbox counts.
        lease: For how many seconds at a time.
    """

    until: float
    lease: float


class _Own:
    """
    What one process has under way.

    Attributes:
        held: The intents that this process holds.
        settling: Those whose end the outbox is being told; from then on they may be taken again.
        unsettled: What the outbox could not be told; told again until it takes it.
    """

    def __init__(self) -> None:
        self.holder = uuid.uuid4().hex
        self.lock = threading.Lock()
        self.held: dict[int, _Hold] = {}
        self.settling: set[int] = set()
        self.deliveries = 0
        self.under_way = UnderWay()
        self.unsettled: deque[Callable[[], None]] = deque()
        self.registered: dict[str, float] = {}
        self.due: list[float] = []
        self.counted_at = -COUNT_EVERY
        self.is_down = False
        self.wake = threading.Event()
        self.stopping = threading.Event()
        self.thread: threading.Thread | None = None


class Mirror:
    """
    One outbox as one router uses it.

    Args:
        migration: Gives its name; None while it is not known.
        show: Takes the outbox's URL, the migration, and what its writes lack.
    """

    def __init__(self, outbox: Outbox, migration: Callable[[], str | None], show: Show) -> None:
        self.outbox = outbox
        self._migration = migration
        self._show = show
        self._works: dict[str, Work] = {}
        self._own = PerProcess(_Own)
        self._statements: Statements | None = None
        self._closed = False

    @property
    def migration(self) -> str:
        """
        The name of the migration.

        Raises:
            Unavailable: If no snapshot has told it yet.
        """
        name = self._migration()
        if not name:
            raise Unavailable("nothing was read from the store yet, and connect() was not given the migration's name")
        return name

    def add(self, work: Work) -> None:
        """
        Deliver the intents of a write from now on.

        Raises:
            ConfigurationError: If there is one of that name.
        """
        if work.place in self._works:
            raise ConfigurationError(f"the flow {work.rule.flow!r} has a write {work.rule.name!r} already")
        self._works[work.place] = work
        self.start()

    def start(self) -> None:
        """
        Run the thread of this process, if there is something to do and it does not run yet.
        """
        if self._closed or not self._works:
            return
        own = self._own.get()
        with own.lock:
            if own.thread is None:
                own.thread = threading.Thread(target=self._run, args=(own,), name="cutover-mirror", daemon=True)
                own.thread.start()

    def close(self, within: float = LEAVE_WITHIN) -> None:
        """
        End the thread; what is under way may end within so many seconds, and stays in the outbox otherwise.
        """
        self._closed = True
        own = self._own.get()
        own.stopping.set()
        own.wake.set()
        until = monotonic() + within
        if own.thread is not None:
            own.thread.join(within)
        while (own.held or own.settling) and monotonic() < until:
            own.wake.wait(0.02)
            own.wake.clear()
        if own.held or own.settling:
            return  # whoever is under way still tells the outbox
        self.outbox.close()

    # -- what calls do --

    def record(self, entry: Entry, lease: float) -> Intent:
        """
        Store a new intent, and hold it.
        """
        if self._closed:
            raise Unavailable("the router was closed; nothing was written")
        own = self._own.get()
        self._register(own, self._works[f"{entry.flow} {entry.write}"])
        hold = _Hold(monotonic() + lease, lease)
        intent = self.outbox.record(entry, own.holder, lease)
        own.held[intent.id] = hold
        return intent

    def statements(self) -> Statements:
        """
        Give what records intents through connections of the application.
        """
        if self._statements is None:
            self._statements = self.outbox.transaction()
        return self._statements

    def holds(self, intent: Intent) -> bool:
        """
        Tell whether nobody else can have taken an intent from this process.
        """
        hold = self._own.get().held.get(intent.id)
        return hold is not None and monotonic() < hold.until

    def second_call(self, work: Work, intent: Intent) -> AbstractContextManager[None]:
        """
        Keep an eye on the call to the other side that a caller waits for.
        """
        return self._own.get().under_way.calling(work, intent, other_side(intent.entry), is_delivery=False)

    def done(self, intent: Intent) -> None:
        """
        Take an intent out; if that fails, the thread does it as soon as it can.
        """
        self._settle(intent, lambda: self.outbox.done(intent))

    def put_back(self, intent: Intent, pause: float = 0.0, *, is_mine: bool = False) -> None:
        """
        Leave an intent to the thread of some process; if that fails, the same.

        Args:
            is_mine: Only if nobody else has taken it meanwhile.
        """
        holder = self._own.get().holder if is_mine else None
        self._settle(intent, lambda: self.outbox.put_back(intent, pause, holder))
        own = self._own.get()
        own.due.append(monotonic() + pause)
        own.wake.set()

    def let_go(self, intent: Intent) -> None:
        """
        Hold an intent no longer than its lease lasts.
        """
        self._own.get().held.pop(intent.id, None)

    def _settle(self, intent: Intent, tell: Callable[[], None]) -> None:
        own = self._own.get()
        try:
            # No more held before the outbox knows: or the thread would take it, and believe it to be under way.
            own.settling.add(intent.id)
            own.held.pop(intent.id, None)
            tell()
        except StoreError as error:
            own.unsettled.append(tell)
            log.warning("cutover.mirror_unsettled", flow=intent.entry.flow, write=intent.entry.write, error=str(error))
        finally:
            own.settling.discard(intent.id)

    # -- what the thread does --

    def _run(self, own: _Own) -> None:
        while not own.stopping.is_set():
            try:
                pause = self._step(own)
            except StoreError as error:
                pause = POLL
                self._note_down(own, error)
            except Exception as error:  # noqa: BLE001 - a mistake of ours must not end the thread
                pause = POLL
                log.error("cutover.mirror_failed", error=repr(error))
            own.wake.wait(pause)
            own.wake.clear()

    def _step(self, own: _Own) -> float:
        """
        Do what is due, and give the seconds until something may be.
        """
        own.under_way.look()
        for work in tuple(self._works.values()):
            self._register(own, work)
        self._renew(own)
        while own.unsettled:
            own.unsettled[0]()
            own.unsettled.popleft()
        is_full = self._take(own)
        if monotonic() - own.counted_at >= COUNT_EVERY:
            own.counted_at = monotonic()
            self._show(self.outbox.url, self.migration, self.outbox.shortfalls(self.migration))
        if own.is_down:
            own.is_down = False
            log.info("cutover.mirror_answers_again", outbox=self.outbox.url)
        return 0.0 if is_full else self._pause(own)

    def _register(self, own: _Own, work: Work) -> None:
        """
        Put a write on record, again now and then; the first one makes the place.
        """
        if monotonic() - own.registered.get(work.place, -REGISTER_EVERY) < REGISTER_EVERY:
            return
        try:
            self.outbox.register(self.migration, work.rule)
        except Unavailable as error:
            if not error.missing:
                raise
            self.outbox.create()
            self.outbox.register(self.migration, work.rule)
        own.registered[work.place] = monotonic()

    def _renew(self, own: _Own) -> None:
        """
        Hold on to what is under way; what was let go too long may be another process's, and counts as lost here.
        """
        now = monotonic()
        late = {id_: hold for id_, hold in own.held.copy().items() if hold.until - now < hold.lease * 2 / 3}
        for lease in {hold.lease for hold in late.values()}:
            ids = [id_ for id_, hold in late.items() if hold.lease == lease]
            self.outbox.renew(ids, own.holder, lease)
            for hold in (late[id_] for id_ in ids):
                if monotonic() < hold.until:
                    hold.until = now + lease

    def _take(self, own: _Own) -> bool:
        """
        Begin deliveries; tell whether there may be more that could begin at once.
        """
        free = own.under_way.free(own.deliveries)
        if not free or own.stopping.is_set():
            return False
        lease = min(work.patience.lease for work in self._works.values())
        until = monotonic() + lease
        taken = self.outbox.take(self.migration, list(self._works), own.holder, lease, free)
        for intent in taken:
            if intent.id in own.held:  # a call of this process whose lease was renewed too late: it goes on
                continue
            self._begin(own, intent, _Hold(until, lease))
        return len(taken) == free and own.under_way.free(own.deliveries) > 0

    def _begin(self, own: _Own, intent: Intent, hold: _Hold) -> None:
        with own.lock:
            own.held[intent.id] = hold
            own.deliveries += 1
        try:
            threading.Thread(
                target=self._deliver, args=(own, intent, hold), name="cutover-deliver", daemon=True
            ).start()
        except RuntimeError:  # no more threads: the lease ends, and it is taken again
            self._let_go(own, intent, hold)
            raise

    def _let_go(self, own: _Own, intent: Intent, hold: _Hold) -> None:
        with own.lock:
            if own.held.get(intent.id) is hold:  # it may have been put back, and taken again
                own.held.pop(intent.id, None)
            own.deliveries -= 1

    def _pause(self, own: _Own) -> float:
        now = monotonic()
        own.due = [due for due in own.due if due > now][-1000:]
        leases = [hold.lease / 3 for hold in own.held.copy().values()]
        return min([POLL * CHANCE.uniform(0.8, 1), *(due - now for due in own.due), *leases])

    def _deliver(self, own: _Own, intent: Intent, hold: _Hold) -> None:
        try:
            self._delivered(own, self._works[f"{intent.entry.flow} {intent.entry.write}"], intent)
        except Exception as error:  # noqa: BLE001 - a mistake of ours must not end the process's share of the work
            log.error("cutover.mirror_failed", error=repr(error))
        finally:
            self._let_go(own, intent, hold)
            own.wake.set()

    def _delivered(self, own: _Own, work: Work, intent: Intent) -> None:
        if intent.state is State.UNKNOWN:
            confirmed = self._confirmed(own, work, intent)
            if confirmed is None:
                return
            intent = confirmed
        side, patience = other_side(intent.entry), work.patience
        try:
            with own.under_way.calling(work, intent, side, is_delivery=True):
                work.functions.call_here(work.functions.sides[side], intent, work.loop, patience.deadline)
        except BaseException as error:  # noqa: BLE001 - whatever it is, the other side may lack the write
            self.failed(work, intent, error, State.UNDELIVERED)
        else:
            self.done(intent)

    def _confirmed(self, own: _Own, work: Work, intent: Intent) -> Intent | None:
        """
        Ask the authoritative side whether it has a write; None where that ends the delivery.
        """
        if work.functions.confirm is None:
            self._bury(intent, State.UNCONFIRMED)
            return None
        try:
            with own.under_way.calling(work, intent, intent.entry.side, is_delivery=True, asks=True):
                happened = work.functions.asked(intent, work.loop, work.patience.deadline)
        except BaseException as error:  # noqa: BLE001 - it did not answer, however it says so
            self.failed(work, intent, error, State.UNCONFIRMED)
            return None
        if happened:
            return attrs.evolve(intent, state=State.PENDING, attempts=0, error="")
        self.done(intent)
        return None

    def failed(self, work: Work, intent: Intent, error: BaseException, dead: State, *, is_mine: bool = True) -> None:
        """
        Put an intent back after a failure: for later, or as a dead letter.
        """
        if isinstance(error, NotRun) and str(error) not in work.told:
            work.told.add(str(error))
            log.error("cutover.mirror_not_run", flow=intent.entry.flow, write=intent.entry.write, error=str(error))
        failed = attrs.evolve(intent, attempts=intent.attempts + 1, error=error_text(error))
        if failed.attempts >= work.patience.attempts:
            self._bury(failed, dead, is_mine=is_mine)
        else:
            self.put_back(failed, work.patience.pause(failed.attempts), is_mine=is_mine)

    def _bury(self, intent: Intent, state: State, *, is_mine: bool = True) -> None:
        self.put_back(attrs.evolve(intent, state=state), is_mine=is_mine)
        entry, kind = intent.entry, intent.error.partition(":")[0]
        log.error(
            "cutover.mirror_dead_letter", flow=entry.flow, write=entry.write, id=intent.id, state=state, error=kind
        )

    def _note_down(self, own: _Own, error: StoreError) -> None:
        if not own.is_down:
            own.is_down = True
            log.error("cutover.mirror_unavailable", outbox=self.outbox.url, error=str(error))


def error_text(error: BaseException) -> str:
    """
    Give an error as the outbox keeps it: its type, and what it says, which may show what was written.
    """
    try:
        says = str(error)
    except Exception:  # noqa: BLE001 - a stranger's method may raise anything
        says = ""
    return f"{kind_of(error)}: {says}"[:LONGEST_ERROR].encode("utf-8", "replace").decode()
