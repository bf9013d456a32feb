"""
Homes and visits in the headers of tasks, from a request through Valkey to a real worker of Celery.
"""

import os
import subprocess
import sys

import pytest
from celery import Celery, chain
from servers.running import PATIENCE, until
from servers.visit_shops import APPS, SECRET, store_at
from visitors import aged

import cutover
from cutover.integrations.celery import task_headers, task_home

DAY = 24 * 60 * 60
SIDES = ["new", "old"]
KINDS = ["once", "retried", "retried_by_itself"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """
    Where store, copies and log are.
    """
    return tmp_path_factory.mktemp("shop")


@pytest.fixture(scope="module")
def control(folder):
    """
    The operators' side of the store; all dials are at 0.
    """
    with store_at(folder)[1] as control:
        yield control


@pytest.fixture(scope="module")
def purchase(control, folder):
    """
    The journey as the web process has it that sends tasks.
    """
    with cutover.connect(f"sqlite:///{folder}/cutover.db", secret=SECRET, cache=str(folder / "web")) as router:
        assert router.wait_ready(PATIENCE)
        yield router.journey("purchase")


@pytest.fixture(scope="module")
def celery(control, folder, valkey):
    """
    Celery as the web process has it, with a worker that runs.
    """
    broker = f"redis://127.0.0.1:{valkey.port}/3"
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("CUTOVER")},
        "CUTOVER_STORE": f"sqlite:///{folder}/cutover.db",
        "CUTOVER_SECRET": SECRET,
        "CUTOVER_CACHE": str(folder / "worker"),
        "BROKER": broker,
    }
    log = folder / "worker.log"
    command = [sys.executable, "-m", "celery", "-A", "celery_shop", "worker", "--pool", "solo", "-l", "INFO"]
    with log.open("ab") as written, Celery("web", broker=broker, backend=broker) as app:
        process = subprocess.Popen(command, cwd=APPS, env=environment, stdout=written, stderr=written)

        def ready_or_gone():
            assert process.poll() is None, log.read_text()
            return app.control.ping(timeout=1)

        try:
            until(ready_or_gone)
            yield app
        finally:
            process.terminate()
            process.wait()


def result(task):
    """
    Wait for what a task gives.
    """
    return task.get(timeout=PATIENCE)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("side", ["old", "new"])
def test_home(celery, kind, side):
    """
    A task about a thing goes where the thing lives, whatever the dials say, also when it is tried again.
    """
    sent = celery.send_task(kind, ["user-42"], headers=task_headers(home=side))

    assert result(sent) == {"home": side, "routed": side, "visit": side, "retries": 0 if kind == "once" else 2}


@pytest.mark.parametrize("kind", KINDS)
def test_visit(celery, purchase, kind):
    """
    A task that follows a request is on the request's visit, also when it is tried again.
    """
    visit = purchase.enter("user-42", home="new")
    done = result(celery.send_task(kind, ["user-42"], headers=task_headers(visit)))

    assert (done["visit"], done["routed"]) == ("new", "old")


def test_a_day_later(celery, purchase):
    """
    A task that runs a day later finds its visit over, and still sees the home.
    """
    token = aged(purchase, purchase.enter("user-42", home="new").token, DAY)
    headers = {**task_headers(home="new"), "cutover-visit-purchase": token}
    with_home = result(celery.send_task("once", ["user-42"], headers=headers))
    without = result(celery.send_task("once", ["user-42"], headers={"cutover-visit-purchase": token}))

    assert (with_home["routed"], with_home["visit"]) == ("new", "new")
    assert (without["routed"], without["visit"]) == ("old", "old")


@pytest.mark.parametrize("token", ["x", 7, None, ["x"], {"x": 1}])
def test_strange_headers(celery, token):
    """
    Whatever stands in the header of a visit is no error.
    """
    done = result(celery.send_task("once", ["user-42"], headers={"cutover-visit-purchase": token}))

    assert done["visit"] == "old"


def test_no_headers(celery):
    """
    A task that was sent without is routed by the dials.
    """
    assert result(celery.send_task("once", ["user-42"])) == {
        "home": "Unset.UNSET",
        "routed": "old",
        "visit": "old",
        "retries": 0,
    }


def test_chain(celery):
    """
    Each task of a chain has the headers that its own signature was given.
    """
    steps = [
        celery.signature("once", ["user-42"], immutable=True).set(headers=task_headers(home=side)) for side in SIDES
    ]
    last = chain(*steps).apply_async()

    assert result(last)["routed"] == "old"
    assert result(last.parent)["routed"] == "new"


def test_task_of_a_task(celery):
    """
    A task that a task starts inherits no home: it may be about another thing.
    """
    sent = celery.send_task("starts_another", ["user-42"], headers=task_headers(home="new"))
    result(sent)

    assert result(celery.AsyncResult(f"{sent.id}-other"))["routed"] == "old"


def test_eager():
    """
    A task that is run on the spot, as in tests of applications, has its headers too.
    """
    app = Celery()

    @app.task(bind=True)
    def task(self):
        return str(task_home(self))

    assert task.apply(headers=task_headers(home="new")).get() == "new"
    assert task.apply().get() == "Unset.UNSET"
