"""
A rollback journal that was left behind by another state of the file.

A process that is killed while it commits leaves its journal beside the database, and whoever opens it next rolls it
back. Where a backup was put in the place of the database meanwhile, SQLite would roll pages of the lost state into the
backup. The change counter in the first page tells the two cases apart.
"""

import os
import struct
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

from cutover.errors import Corrupt

__all__ = ["check_journal", "left_behind"]

MAGIC: Final = bytes.fromhex("d9d505f920a163d7")
HEADER: Final = struct.Struct(">8sIIIII")  # magic, records, nonce, pages before, sector size, page size
NUMBER: Final = struct.Struct(">I")
COUNTER_AT: Final = 24  # in the first page: the change counter, and after it the number of pages
UNCOUNTED: Final = 0xFFFFFFFF
PAGE_SIZES: Final = range(512, 65537)


class _Before(NamedTuple):
    """
    The state that a journal would restore.

    Attributes:
        nonce: Drawn anew for each transaction.
        pages: How many pages the database had.
        counter: Its change counter; None where the journal does not hold the first page.
        is_synced: Whether the transaction had come so far that it could touch the database.
    """

    nonce: int
    pages: int
    counter: int | None
    is_synced: bool


def left_behind(path: str) -> list[str]:
    """
    Name the files beside a database that is not there which SQLite would take for a part of a new one.
    """
    beside = [f"{os.path.realpath(path)}-{kind}" for kind in ("journal", "wal", "shm")]
    return [name for name in beside if os.path.lexists(name)]


def check_journal(path: str) -> None:
    """
    Refuse a database with the journal of another state of it. No lock may be held on it by this process.

    Raises:
        Corrupt: If the journal does not belong to it.
    """
    journal = Path(f"{os.path.realpath(path)}-journal")
    before = _read_journal(journal)
    if before is None:
        return
    counter, pages = _read_database(path)
    if _belongs(before, counter, pages) or _read_journal(journal) != before:
        return  # a transaction that is under way, or one that SQLite may roll back
    raise Corrupt(
        f"{path} was replaced while the journal of another state lay beside it; "
        f"if it was restored from a backup, delete {journal}"
    )


def _belongs(before: _Before, counter: int, pages: int) -> bool:
    if not before.is_synced:
        return pages == before.pages
    return before.counter is None or counter - before.counter in (0, 1)


def _read_database(path: str) -> tuple[int, int]:
    with Path(path).open("rb") as file:
        file.seek(COUNTER_AT)
        data = file.read(2 * NUMBER.size).ljust(2 * NUMBER.size, b"\0")
    return NUMBER.unpack_from(data, 0)[0], NUMBER.unpack_from(data, NUMBER.size)[0]


def _read_journal(path: Path) -> _Before | None:
    try:
        with path.open("rb") as file:
            header = file.read(HEADER.size)
            if len(header) < HEADER.size or not header.startswith(MAGIC):
                return None  # not yet begun, or already over: SQLite ignores it
            _, records, nonce, pages, sector, size = HEADER.unpack(header)
            if size not in PAGE_SIZES:
                return None
            counter = _first_page_counter(file, records, sector, size)
    except FileNotFoundError:
        return None
    return _Before(nonce, pages, counter, is_synced=records > 0)


def _first_page_counter(file: BinaryIO, records: int, sector: int, size: int) -> int | None:
    length = NUMBER.size + size + NUMBER.size  # page number, page, checksum
    if records == UNCOUNTED:
        records = max(os.fstat(file.fileno()).st_size - sector, 0) // length
    for index in range(records):
        file.seek(sector + index * length)
        record = file.read(NUMBER.size + COUNTER_AT + NUMBER.size)
        if len(record) < NUMBER.size + COUNTER_AT + NUMBER.size:
            return None
        if NUMBER.unpack_from(record)[0] == 1:
            return int(NUMBER.unpack_from(record, NUMBER.size + COUNTER_AT)[0])
    return None
