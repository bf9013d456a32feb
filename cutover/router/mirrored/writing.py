"""
Where a router's mirrored writes are made. Whoever only routes loads nothing of what they need.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cutover.router.flow import Flow
    from cutover.router.mirrored.writes import Writes

__all__ = ["Writing"]


class Writing:
    """
    Makes the mirrored writes of one router.

    Args:
        store: The URL of the router's store, where the outbox is unless another place is named; None for no URL.
        migration: Gives the migration's name; None while it is not known.
        show: Takes backlog and lag by flow.
    """

    def __init__(
        self,
        store: str | None,
        migration: Callable[[], str | None],
        show: Callable[[str, Mapping[str, tuple[int, float]]], None],
    ) -> None:
        self._given = (store, migration, show)
        self._writes: Writes | None = None

    def build(
        self, flow: "Flow", *, attempts: int, longest_pause: float, lease: float, deadline: float, **terms: Any
    ) -> Any:
        """
        Make what `Flow.write` gives.
        """
        from cutover.router.mirrored.work import Patience  # noqa: PLC0415
        from cutover.router.mirrored.writes import Writes  # noqa: PLC0415

        patience = Patience(attempts=attempts, longest_pause=longest_pause, lease=lease, deadline=deadline)
        if self._writes is None:
            self._writes = Writes(*self._given)
        return self._writes.build(flow, patience=patience, **terms)

    def close(self) -> None:
        """
        End the threads, if there are any; what is under way stays in the outbox.
        """
        if self._writes is not None:
            self._writes.close()
