"""
The one hook of a process for all that live on in its children.
"""

import os

import pytest

from cutover.router import fork_hook

pytestmark = pytest.mark.filterwarnings("ignore:.*use of fork.*:DeprecationWarning")


class Forked:
    """
    Something that counts how often it was told of a fork.
    """

    def __init__(self) -> None:
        self.told = 0

    def after_fork(self) -> None:
        """
        Count.
        """
        self.told += 1

    def close(self) -> None:
        """
        Do nothing.
        """


def told_in_child(*ones: Forked) -> int:
    """
    Fork, and let the child say how often it was told.
    """
    pid = os.fork()
    if pid == 0:
        os._exit(sum(one.told for one in ones))
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_each_is_told_once_in_the_child_alone():
    """
    After a fork the child is told, once for each object, and the parent is not.
    """
    ones = [Forked(), Forked()]
    for one in ones:
        fork_hook.look_after(one)

    assert told_in_child(*ones) == 2
    assert [one.told for one in ones] == [0, 0]


def test_what_is_gone_is_not_told():
    """
    Objects are held weakly: the hook keeps nothing alive.
    """
    fork_hook.look_after(Forked())
    one = Forked()
    fork_hook.look_after(one)

    assert told_in_child(one) == 1
