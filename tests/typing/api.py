"""
The public API as a user writes against it: checked by mypy in strict mode, never run.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, assert_type

from prometheus_client import CollectorRegistry

import cutover
from cutover import Backend, Decision, Migration, Reason


def cohort_of(key: object) -> str | None:
    return "staff" if key == "rina" else None


def routes() -> tuple[Backend, object]:
    with cutover.connect(
        "sqlite:///cutover.db",
        migration="shop",
        registry=CollectorRegistry(),
        secret="0123456789abcdef0123456789abcdef",
        cohort_of=cohort_of,
        cache="off",
        bootstrap="bootstrap.json",
        break_glass="break-glass.toml",
        fleet_metrics=True,
    ) as router:
        assert_type(router.ready, bool)
        assert_type(router.wait_ready(5.0), bool)
        stop = router.on_change(lambda snapshot: [snapshot.version, snapshot.dials["pay"]])
        stop()
        pay = router.flow("pay")
        assert_type(pay.peek("user-42"), Decision)
        decision = pay.decide("user-42", cohort="staff", home=Backend.NEW, synthetic=True)
        assert_type(decision.backend, Backend)
        assert_type(decision.reason, Reason)
        assert_type(decision.version, int)
        assert_type(decision.position, int | None)
        backend: Backend = pay.route("user-42", cohort="staff", home="new")
        with pay.request(b"user-42", home=None) as request:
            assert_type(request.backend, Backend)
        router.after_fork()
        return backend, router.snapshot


def visits(token: str | None) -> str:
    with cutover.connect(secret="0123456789abcdef0123456789abcdef") as router:
        purchase = router.journey("purchase")
        assert_type(purchase.enter("user-42"), cutover.Visit)
        visit = purchase.enter("user-42", token=token, cohort="staff", was="guest-9f", home=Backend.OLD)
        assert_type(visit.backend, Backend)
        assert_type(visit.sides["pay"], Backend)
        assert_type(visit.rewritten, bool)
        assert_type(visit.journey, str)
        assert_type(router.flow("pay").decide(visit), Decision)
        backend: Backend = router.flow("pay").route(visit)
        assert_type(router.flow("pay").request(visit).backend, Backend)
        visit.leave()
        return visit.token + backend


class Payments:
    """
    A class that holds switches.
    """

    def __init__(self, currency: str) -> None:
        self.currency = currency

    def _old(self, user: str, amount: int) -> float:
        return float(amount)

    def _new(self, user: str, amount: int) -> float:
        return float(amount)

    async def _later(self, user: str, amount: int) -> float:
        return float(amount)

    charge = cutover.connect().flow("pay").switch(old=_old, new=_new)
    charge_later = cutover.connect().flow("pay").switch(old=_later, new=_later)


async def switches() -> float:
    def find(user: str, words: str) -> list[str]:
        return [words]

    search = cutover.connect().flow("browse").switch(old=find, new=find)
    assert_type(search("user-42", words="shoes"), list[str])
    payments = Payments("IDR")
    assert_type(payments.charge("user-42", amount=5), float)
    assert_type(Payments.charge(payments, "user-42", 5), float)
    assert_type(await payments.charge_later("user-42", 5), float)
    return await payments.charge_later("user-42", amount=5)


def writes(item: str) -> int:
    def old(user: str, item: str, *, sequence: int) -> int:
        return sequence

    def new(user: str, item: str, *, sequence: int) -> int:
        return sequence

    def was_added(user: str, item: str, *, sequence: int, side: Backend) -> bool:
        return sequence > 1

    with cutover.connect() as router:
        add = router.flow("cart").write(
            name="cart.add", old=old, new=new, confirm=was_added, outbox="sqlite:///outbox.db", allowed_backlog=5
        )
        assert_type(add("user-42", item), int)
        return add("user-42", item, home=Backend.OLD)


async def awaited_writes(item: str) -> int:
    async def write(user: str, item: str, *, sequence: int) -> int:
        return sequence

    add = cutover.connect().flow("cart").write(name="cart.add", old=write, new=write, refused=(LookupError, ValueError))
    assert_type(await add("user-42", item), int)
    return await add("user-42", item)


async def requests() -> None:
    router = cutover.connect()
    async with router.flow("pay").request(42, synthetic=True) as request:
        assert_type(request.backend, Backend)
    assert_type(await router.wait_ready_async(timeout=5.0), bool)
    router.close()


def changed(snapshot: cutover.Snapshot) -> int:
    return snapshot.version


def made(control: cutover.Control) -> cutover.Change:
    with cutover.connect() as router:
        router.on_change(changed)
        request: cutover.Request = router.flow("pay").request("user-42")
        return control.freeze(reason=request.backend)


def operates() -> Sequence[object]:
    with cutover.control("sqlite:///cutover.db", actor="rina", migration="shop") as control:
        change = control.apply(Migration.load("cutover.toml"), confirm=True)
        assert_type(change.version, int)
        assert_type(change.hash, str)
        control.set("pay", 25, reason="week 3", expect=change.version, ticket="OPS-1")
        control.set("pay", "12.5", reason="week 3", cohort="staff")
        control.set("pay", 100, reason="all", all_cohorts=True)
        control.rollback("pay", reason="timeouts")
        control.rollback(None, reason="everything")
        control.freeze(reason="peak")
        control.unfreeze(reason="over")
        control.override("pay", "user-42", "new", reason="tester")
        control.work("branding", 60, reason="half of the texts")
        history: Sequence[object] = control.history(after=1)
        verification = control.verify(expect="41:9f3c")
        assert_type(verification.ok, bool)
        status = control.status()
        assert_type(status.version, int)
        assert_type(control.export_snapshot(), str)
        control.wait(change, timeout=timedelta(seconds=5))
        assert_type(status.document(), dict[str, Any])
        control.explain("pay", "user-42")
        return history


def fails() -> cutover.CutoverError | None:
    try:
        operates()
    except cutover.Conflict as error:
        assert_type(error.expected, str)
    except cutover.Refused as error:
        assert_type(error.details, tuple[str, ...])
    except cutover.OutcomeUnknown as error:
        assert_type(error.hash, str)
    except (cutover.Unavailable, cutover.Corrupt, cutover.ConfigurationError) as error:
        return error
    return None
