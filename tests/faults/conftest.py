"""
Scenarios are mostly waiting: those that were asked for are played some at a time.
"""

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from faults.places import cluster, place_of
from faults.scenarios import SCENARIOS
from faults.scene import Scene

AT_A_TIME = 4


def play(name, kind, folder, template):
    """
    Play one scenario to its end; gives the verdict.
    """
    act, _ = SCENARIOS[name]
    with ExitStack() as stack:
        folder.mkdir()
        scene = Scene(lambda place: place_of(kind, place, stack, template), folder, stack)
        act(scene)
        return scene.verdict()


@pytest.fixture(scope="session")
def verdicts(request, tmp_path_factory):
    """
    The verdicts to come, by scenario and kind of store.
    """
    mine = [item for item in request.session.items if item.originalname == "test_fault"]
    asked = [item.callspec.params for item in mine]
    with ExitStack() as stack:
        template = stack.enter_context(cluster()) if any(one["kind"] == "postgresql" for one in asked) else None
        pool = stack.enter_context(ThreadPoolExecutor(AT_A_TIME))
        stack.callback(pool.shutdown, cancel_futures=True)
        yield {
            (one["name"], one["kind"]): pool.submit(
                play, one["name"], one["kind"], tmp_path_factory.mktemp(one["name"]) / one["kind"], template
            )
            for one in asked
        }
