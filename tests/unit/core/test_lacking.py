"""
What live processes ask for and the definition in the store lacks.
"""

from datetime import timedelta

from strategies import NOON, definition_of

from cutover.core.checkin import LEASE, CheckIn, Counted, Kind
from cutover.core.defined import Flow, Journey
from cutover.core.lacking import lacking
from cutover.core.names import Asked, NameKind

SHOP = definition_of("cart", "payment", journeys={"purchase": Journey(name="purchase", flows=("cart", "payment"))})


def report(pid: int, *asked: Asked, **fields: object) -> CheckIn:
    """
    Give the check-in of a process that asks for these names.
    """
    return CheckIn(
        instance=f"{pid:032}",
        sequence=1,
        host="web-1",
        pid=pid,
        library="1",
        started=NOON,
        **{"at": NOON, "asked": asked, **fields},
    )


def flow(name: str, requests: int = 1) -> Asked:
    """
    Name a flow that was asked for so often.
    """
    return Asked(NameKind.FLOW, name, requests)


def test_who_asks_for_what():
    """
    Each unknown name is listed once, with the processes that ask for it, their counts, and the name that may be meant.
    """
    reports = [report(2, flow("pay", 5), flow("cart", 9)), report(1, flow("pay", 0), Asked(NameKind.COHORT, "vip", 3))]
    pay, vip = lacking(reports, SHOP, now=NOON)

    assert (pay.kind, pay.name, pay.closest, pay.requests) == (NameKind.FLOW, "pay", "payment", 5)
    assert [str(one) for one in pay.asking] == ["web-1/1", "web-1/2"]
    assert str(pay) == (
        "web-1/1 and 1 more ask for the flow pay, which the definition lacks; the closest known name is payment"
    )
    assert (vip.kind, vip.splits, pay.splits) == (NameKind.COHORT, False, True)


def test_a_name_of_another_kind():
    """
    Where the very name is there as something else, that is what is said.
    """
    (purchase,) = lacking([report(1, flow("purchase"))], SHOP, now=NOON)

    assert str(purchase) == ("web-1/1 asks for the flow purchase, which the definition lacks; purchase is a journey")


def test_a_lost_process_asks_for_nothing():
    """
    A process that was not heard of for longer than the lease may be gone: what it asked for is no reason to wait.
    """
    later = NOON + LEASE + timedelta(seconds=1)

    assert lacking([report(1, flow("pay"))], SHOP, now=NOON)
    assert not lacking([report(1, flow("pay"))], SHOP, now=later)


def test_the_definition_in_the_store_counts():
    """
    Whatever a process runs, the definition that is asked about decides: what it has is known, also by a former name.
    """
    renamed = definition_of(flows={"pay": Flow(name="pay", was=("payment",))})
    reports = [report(1, flow("payment"), head=None), report(2, flow("pay")), report(3, flow("cart"))]

    assert [one.name for one in lacking(reports, SHOP, now=NOON)] == ["pay"]
    assert [one.name for one in lacking(reports, renamed, now=NOON)] == ["cart"]


def test_an_older_library():
    """
    A process that does not say what it asks for asks for what it counted: decisions by flow, visits by journey.
    """
    counts = {
        Counted(Kind.REQUESTS, "pay", "old", "default"): 7,
        Counted(Kind.REQUESTS, "pay", "old", "home"): 1,
        Counted(Kind.SYNTHETIC, "cart", "old", ""): 2,
        Counted(Kind.CALLS, "card", "old", "ok"): 3,
        Counted(Kind.VISITS, "purchases", "", "entered"): 4,
        Counted(Kind.VISITS, "purchases", "", "evicted"): 4,
        Counted(Kind.VISITS, "buy", "", "bypassed"): 5,
    }
    found = lacking([report(1, asked=None, since_version=counts)], SHOP, now=NOON)

    assert [(one.kind, one.name, one.requests) for one in found] == [
        (NameKind.FLOW, "pay", 8),
        (NameKind.JOURNEY, "purchases", 4),
    ]
