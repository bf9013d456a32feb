"""
Reading the fenced blocks of the pages, so that what a page shows is what the tests run.

A sentence that ends in ``in `NAME`:`` or ``as `NAME`:`` before a block makes the block a file of that name.
"""

import re
from pathlib import Path

import attrs

ROOT = Path(__file__).parents[2]
FENCE = re.compile(r"^```(?P<language>[a-z]+)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)
NAMED = re.compile(r"\b(?:in|as) `(?P<name>[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)+)`:\n\n\Z")


@attrs.frozen
class Block:
    """
    One fenced block.

    Attributes:
        name: The file that it is; empty where it is none.
        line: Where it begins in the page.
    """

    language: str
    body: str
    name: str
    line: int


def blocks_of(page: Path) -> list[Block]:
    """
    Give the blocks of a page in their order.
    """
    text = page.read_text()
    blocks = []
    for match in FENCE.finditer(text):
        before = text[: match.start()]
        named = NAMED.search(before)
        name = named["name"] if named else ""
        blocks.append(Block(match["language"], match["body"], name, before.count("\n") + 1))
    return blocks


def file_in(page: Path, name: str) -> str:
    """
    Give the text of a file that a page shows.
    """
    (body,) = [block.body for block in blocks_of(page) if block.name == name]
    return body
