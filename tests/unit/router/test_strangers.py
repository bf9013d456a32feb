"""
Asking objects that may raise.
"""

import pytest
from strategies import Liar, Rude, Stranger, Unmasked

from cutover.router.strangers import kind_of, text_of, truth


class Undecided:
    """
    Something that cannot tell whether it is true.
    """

    def __bool__(self) -> bool:
        raise RuntimeError("no")


async def unmade():
    """
    Give a coroutine that nobody runs.
    """


@pytest.mark.parametrize(
    ("kind", "true"), [(Undecided, False), (list, False), (unmade, False), (Rude, True), (Unmasked, True)]
)
def test_truth(kind, true):
    """
    An object that cannot tell whether it is true counts as false, and so does a coroutine.
    """
    assert truth(kind()) is true


def test_kind():
    """
    The name of a type is what the interpreter knows, whatever its metaclass says.
    """
    assert [kind_of(x) for x in (1, "", Unmasked(), Stranger())] == ["int", "str", "Unmasked", "Stranger"]


def test_text():
    """
    Text is what it holds, whatever its methods say; a proxy that only says it is text is none.
    """
    assert [text_of(x) for x in ("a", Liar("b"), b"a", None, 1, Rude(), Unmasked())] == ["a", "b", *[None] * 5]
    assert type(text_of(Liar("b"))) is str
