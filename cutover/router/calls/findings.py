"""
What the comparisons of one switch found, as operators see it: a few examples, and lines of the log.
"""

import re
from collections.abc import Callable
from datetime import datetime
from time import monotonic
from typing import Any, Final

from cutover.core.comparison import Comparison, Difference, NotComparable, shown, structure_of
from cutover.core.parts import name_of
from cutover.core.verdict import Answer, Mismatch, Redact, Verdict
from cutover.returned import NotRun
from cutover.router.flow import Notices
from cutover.router.log import log
from cutover.router.strangers import kind_of

__all__ = ["Findings"]

MOST_KEPT: Final = 10  # mismatches of a switch that are kept for operators, and kinds of failures
LOG_EVERY: Final = 60.0  # seconds between log lines about mismatches
DEEPEST_PLACE: Final = 32  # names of a path that are shown
DEEPEST_GROUP: Final = 8  # groups of exceptions around one that is named
PLAIN_NAME: Final = re.compile(r"[A-Za-z_*][\w-]{0,39}|\d{1,9}")


class Findings:
    """
    Keeps the first mismatches, and the first failure of each kind.

    Attributes:
        kept: In the order in which they came.
    """

    def __init__(self, flow: str, redact: Redact, notices: Notices, now: Callable[[], datetime]) -> None:
        self._flow = flow
        self._redact = redact
        self._notices = notices
        self._now = now
        self._logged = -LOG_EVERY
        self.forget()

    def forget(self) -> None:
        """
        Begin without findings.
        """
        self.kept: list[Mismatch] = []
        self._mismatches = 0
        self._unlogged = 0
        self._kinds: set[tuple[str, ...]] = set()

    def differ(self, found: Comparison, key: str) -> None:
        """
        Keep a mismatch, and have the log tell of it now and then.
        """
        differences = tuple(self._redacted(difference, key) for difference in found.differences)
        if self._mismatches < MOST_KEPT:
            self._mismatches += 1
            self._keep(differences)
        self._unlogged += 1
        if monotonic() - self._logged >= LOG_EVERY:
            self._logged = monotonic()
            places = [path for path, _, _ in differences]
            log.warning("cutover.shadow_mismatch", flow=self._flow, places=places, since_last=self._unlogged)
            self._unlogged = 0

    def failed(self, outcome: Verdict, old: Answer, new: Answer) -> None:
        """
        Keep what the sides came to where one of them failed, once for each kind of exception and place in the code.
        """
        kinds = _ended(old), _ended(new)
        if self._is_new(outcome, *kinds):
            self._notices.note(
                "cutover.comparison_failed", flow=self._flow, outcome=outcome, old=kinds[0], new=kinds[1]
            )
            self._keep((("", self._said(old, kinds[0]), self._said(new, kinds[1])),))

    def compare_raised(self, error: BaseException) -> None:
        """
        Keep what the application's comparison raised.
        """
        said = str(error) if isinstance(error, NotRun) else kind_of(error)
        self._notices.note("cutover.compare_raised", flow=self._flow, error=said)
        if self._is_new(Verdict.COMPARE_ERROR, _raised(error)):
            self._keep((("", f"comparing {_raised(error)}", ""),))

    def not_compared(self, why: NotComparable, key: str = "") -> None:
        """
        Keep why answers cannot be compared.
        """
        self._notices.note("cutover.not_compared", flow=self._flow, reason=str(why))
        if self._is_new(Verdict.NOT_COMPARED, str(why)):
            self._keep(((self._place(why.path, key), shown(f"not compared: {why}"), ""),))

    def _is_new(self, *kind: str) -> bool:
        if kind in self._kinds or len(self._kinds) >= MOST_KEPT:
            return False
        self._kinds.add(kind)
        return True

    def _keep(self, differences: tuple[tuple[str, str, str], ...]) -> None:
        self.kept.append(Mismatch(flow=self._flow, at=self._now(), differences=differences))

    def _said(self, answer: Answer, kind: str) -> str:
        """
        Add what an exception says, where the application shows such texts.
        """
        if answer.error is None or self._redact is structure_of:
            return shown(kind)
        said, _ = self._shown("says", _text(answer.error), "")
        return shown(f"{kind}: {said}")

    def _redacted(self, difference: Difference, key: str) -> tuple[str, str, str]:
        return self._place(difference.path, key), *self._shown(difference.path, difference.old, difference.new)

    def _shown(self, path: str, old: Any, new: Any) -> tuple[str, str]:
        try:
            return shown(self._redact(path, old)), shown(self._redact(path, new))
        except BaseException as error:  # noqa: BLE001 - the application's function may even exit
            return (f"redact raised {kind_of(error)}",) * 2

    def _place(self, path: str, key: str) -> str:
        if key:  # a mapping may have users' keys for names
            path = re.sub(rf"(?<=\.){re.escape(key)}(?=\.)", "?", f".{path}.")[1:-1]
        names = path.split(".") if path else []
        place = [name if PLAIN_NAME.fullmatch(name) else "?" for name in names[:DEEPEST_PLACE]]
        return ".".join(place if len(names) <= DEEPEST_PLACE else [*place, "*"])


def _ended(answer: Answer) -> str:
    """
    Say how a call ended, without anything that it said.
    """
    if isinstance(answer.error, NotRun):
        return str(answer.error)  # ours, and says nothing of the answer
    if answer.error is not None:
        return _raised(answer.error)
    return "failed, as failed= tells" if answer.failed else "answered"


def _raised(error: BaseException) -> str:
    at = error.__traceback__
    while at is not None and at.tb_next is not None:
        at = at.tb_next
    where = "" if at is None else f" at {at.tb_frame.f_globals.get('__name__', '?')}:{at.tb_lineno}"
    return f"raised {_kind(error)}{where}"


def _kind(error: BaseException, deep: int = DEEPEST_GROUP) -> str:
    """
    Name the type of an exception, and of a group those that it holds.
    """
    if not isinstance(error, BaseExceptionGroup):
        return name_of(error)
    held = {_kind(one, deep - 1) if deep else name_of(one) for one in error.exceptions}
    return f"{name_of(error)}({', '.join(sorted(held))})"


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - a stranger's method
        return ""
