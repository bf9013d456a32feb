"""
Notices from the request path: once each, and never many.
"""

from routers import events, logged

from cutover.router.notices import MOST, NoticeBoard


def test_each_is_logged_once():
    """
    The same event with the same facts is logged once, for ever; with other facts it is another one.
    """
    notices = NoticeBoard()
    for _ in range(2):
        notices.note("a", flow="pay")
        notices.note("a", flow="cart")
        logged(notices)
    notices.note("b", flow="pay")

    assert events(logged(notices)) == ["b"]


def test_memory_is_bounded():
    """
    Events of ever other facts are dropped at some point, and not kept.
    """
    notices = NoticeBoard()
    for number in range(2 * MOST):
        notices.note("a", flow=str(number))

    assert len(logged(notices)) == MOST
