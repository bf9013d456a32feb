"""
Homes and visits in the headers of Celery's tasks.

Nothing is passed on unasked: a task that a task starts is often about something else, which lives elsewhere.
"""

from typing import Any, Final

from cutover.core.backend import UNSET, home_text
from cutover.errors import ConfigurationError
from cutover.router.journey import Journey
from cutover.router.strangers import kind_of
from cutover.router.visits import Visit

__all__ = ["task_headers", "task_home", "task_visit"]

HOME: Final = "cutover-home"
VISIT: Final = "cutover-visit-"


def task_headers(*visits: Visit, home: object = UNSET) -> dict[str, str]:
    """
    Give the headers that take a home and visits along with a task.

        ship.apply_async([order.id], headers=task_headers(visit, home=order.backend))
        ship.si(order.id).set(headers=task_headers(home=order.backend))

    Args:
        visits: What `enter` gave; at most one of each journey. Their tokens are over after the journey's idle time and
            ttl: what runs later needs a home.
        home: Where the thing lives that the task is about: a `Backend`, a side's name, or None for an unmarked thing,
            which is older than the migration.

    Raises:
        ConfigurationError: If one of the visits is none, or if two are of one journey.
    """
    headers: dict[str, str] = {}
    for visit in visits:
        if not isinstance(visit, Visit):
            raise ConfigurationError(f"a visit is a {kind_of(visit)}; allowed: what Journey.enter() gives")
        if f"{VISIT}{visit.journey}" in headers:
            raise ConfigurationError(f"two visits are of the journey {visit.journey!r}; allowed: one of each journey")
        headers[f"{VISIT}{visit.journey}"] = visit.token
    if home is not UNSET:
        headers[HOME] = "" if home is None else home_text(home)
    return headers


def task_home(task: Any) -> object:
    """
    Give the home that a task was sent with, for `home=`; `UNSET` where it was sent with none.

        backend = pay.route(user, home=task_home(self))

    Args:
        task: The bound task, ``self``.
    """
    home = _headers(task).get(HOME, UNSET)
    return None if home == "" else home


def task_visit(
    task: Any,
    journey: Journey,
    key: object,
    *,
    cohort: str | None = None,
    home: object = UNSET,
    synthetic: bool = False,
) -> Visit:
    """
    Enter the visit that a task was sent with; a home that came along is the visit's home, if no other is given.

    Args:
        task: The bound task, ``self``.
        key: The same as of the visit: a token without it is worth nothing.
        synthetic: As for `Journey.enter`.
    """
    token = _headers(task).get(f"{VISIT}{journey.name}")
    home = task_home(task) if home is UNSET else home
    return journey.enter(key, token=token, cohort=cohort, home=home, synthetic=synthetic)


def _headers(task: Any) -> dict[str, Any]:
    # A retry of a task keeps them in `request.headers`; before its first attempt that is None where there are none.
    return task.request.headers or {}
