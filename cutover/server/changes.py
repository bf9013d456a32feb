"""
Writing: changes of a migration's ledger, given to the letter and taken by compare-and-swap.
"""

from collections.abc import Mapping
from typing import Any, Final, Self

import attrs
from starlette.requests import Request
from starlette.responses import Response

from cutover.core.canonical import decode
from cutover.core.changes import Proposal
from cutover.core.fields import counter, field
from cutover.core.ledger import Change
from cutover.core.snapshot import Head, Snapshot
from cutover.engines.writing import check_append, check_expected
from cutover.errors import Corrupt
from cutover.server.access import Role
from cutover.server.answers import Problem, answer
from cutover.server.checks import check_written
from cutover.server.followed import Followed
from cutover.server.service import Service, may, read_body
from cutover.server.snapshots import whole_number

__all__ = ["LARGEST_CHANGE", "Written", "get_changes", "post_change"]

LARGEST_CHANGE: Final = 16 * 1024 * 1024  # bytes
PAGE: Final = 8 * 1024 * 1024  # characters of changes in one answer, and the one that goes beyond


@attrs.frozen(kw_only=True)
class Written:
    """
    What a writer sends, as `Store.append` takes it.
    """

    expect: Head | None
    head: Head
    change: str
    snapshot: str
    secret: bytes | None = attrs.field(default=None, repr=False)

    @classmethod
    def decode(cls, body: bytes) -> Self:
        """
        Read a body.

        Raises:
            Problem: If it is something else.
        """
        try:
            document = decode(body, "the body")
            secret = document.get("secret")
            written = cls(
                expect=None if document["expect"] is None else _head(field(document, "expect", dict)),
                head=_head(field(document, "head", dict)),
                change=field(document, "change", str),
                snapshot=field(document, "snapshot", str),
                secret=None if secret is None else bytes.fromhex(field(document, "secret", str)),
            )
            check_append(written.expect, written.head, written.secret)
        except (Corrupt, KeyError, TypeError, ValueError) as error:
            raise Problem(400, "invalid", f"the body is no change: {error}") from error
        return written


async def get_changes(service: Service, request: Request) -> Response:
    """
    Give the changes above a version to the letter; as many as one answer holds.
    """
    name = request.path_params["migration"]
    after = whole_number(request.query_params, "after", least=0, default="0")
    texts = await service.relay.call(lambda: service.relay.store.history(name, after=after))
    page: list[str] = []
    size = 0
    for text in texts:
        page.append(text)
        size += len(text)
        if size > PAGE:
            break
    return answer({"changes": page, "more": len(page) < len(texts)})


async def post_change(service: Service, request: Request) -> Response:
    """
    Take one change and the snapshot after it: both or neither.
    """
    name, relay = request.path_params["migration"], service.relay
    body = await read_body(request, LARGEST_CHANGE)
    is_admin = may(request, Role.ADMIN)
    with relay.writing(name) as followed:
        head = await relay.call(lambda: _write(service, followed, body, is_admin=is_admin), writes=True)
    return answer({"head": attrs.asdict(head), "durability": relay.store.durability.value}, status=201)


def _write(service: Service, followed: Followed, body: bytes, *, is_admin: bool) -> Head:
    written = Written.decode(body)
    raises_epoch = written.expect is not None and written.head.epoch != written.expect.epoch
    if raises_epoch and not is_admin:
        raise Problem(403, "forbidden", "this change adopts a history, and this needs admin")
    if not service.relay.trusting:
        _check(followed, written)
        service.mirrors.check(_proposal(followed, written))
    followed.append(
        expect=written.expect,
        head=written.head,
        change=written.change,
        snapshot=written.snapshot,
        secret=written.secret,
    )
    return written.head


def _check(followed: Followed, written: Written) -> None:
    """
    Hold a change against what is there; where the relay knows of another head, it looks again.
    """
    held = followed.held
    if written.expect is not None and (held is None or held.head != written.expect):
        followed.refresh()
        held = followed.held
    check_expected(followed.migration, written.expect, None if held is None else held.head)
    check_written(
        followed.migration,
        expect=written.expect,
        head=written.head,
        change=written.change,
        snapshot=written.snapshot,
        document=None if held is None else held.document,
    )


def _proposal(followed: Followed, written: Written) -> Proposal:
    """
    Give a change that was checked as what its writer had proposed.
    """
    change = Change.decode(written.change)
    before = None if written.expect is None else followed.snapshot()
    after = Snapshot.decode(written.snapshot)
    return Proposal(verb=change.verb, arguments=change.arguments, before=before, after=after)


def _head(document: Mapping[str, Any]) -> Head:
    return Head(
        counter(document["epoch"], "epoch", least=1),
        counter(document["version"], "version", least=1),
        field(document, "hash", str),
    )
