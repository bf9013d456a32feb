"""
The verb that shows how often the two back ends answer differently.
"""

import json

import pytest
from prometheus_client import CollectorRegistry

import cutover
from cutover.testing.store_helpers import until

PATIENCE = 30.0  # seconds until what a process tells the store every few seconds must be there


@pytest.fixture
def compared(shop):
    """
    A shop whose back ends were compared a few times by a process that still runs.
    """
    with shop.control() as control:
        control.set("browse", 0, shadow=100, reason="compare")
    with cutover.connect(shop.url, registry=CollectorRegistry(), cache=shop.folder / "cache") as router:
        assert router.wait_ready(PATIENCE)
        search = router.flow("browse").switch(
            old=lambda key: {"price": 100}, new=lambda key: {"price": "\x1b[31m101"}, safe=True, noise=0
        )
        search("user-1")
        assert until(lambda: _cases(shop)), "the store was told of no comparison"
        yield shop


def _cases(shop):
    with shop.control() as control:
        return sum(flow.differing.cases for flow in control.mismatches().flows if flow.mismatches)


def test_in_words(compared):
    """
    The flow's rate is told with its interval, and each place that differs with what `redact` shows of it.
    """
    done = compared.run("mismatches")

    assert (done.returncode, done.stderr) == (0, "")
    lines = [line.split() for line in done.stdout.splitlines()]
    assert lines[0] == ["browse:", "100%", "of", "the", "keys", "are", "compared"]
    assert lines[1] == ["1", "mismatch"]
    assert lines[2][:6] == ["100.0%", "(20.7", "to", "100.0)", "differ:", "OLD's"]
    assert lines[3] == ["WHEN", "WHERE", "OLD", "NEW"]
    assert lines[4][2:] == ["price", "int", "text", "of", "8"]


def test_as_json(compared):
    """
    Programs get the same as one document, of one flow if it is named, and over the hours that are asked for.
    """
    document = compared.json("mismatches", "browse", "--hours", "1")

    (flow,) = document["flows"]
    assert (document["hours"], flow["flow"], flow["shadow_ratio"], flow["stands_out"]) == (1, "browse", 1.0, None)
    assert flow["differing"] == {"found": 1, "cases": 1, "ratio": 1.0, "interval": [0.20655, 1.0]}
    assert [one["differences"] for one in flow["mismatches"]] == [[["price", "int", "text of 8"]]]
    assert compared.json("status")["flows"][0]["shadow_ratio"] == 1.0


def test_nothing_was_compared(shop):
    """
    Where nothing is compared, stderr says how that is turned on, and JSON has no flows.
    """
    done = shop.run("mismatches")

    assert (done.returncode, done.stdout) == (0, "")
    assert "--shadow" in done.stderr
    assert shop.json("mismatches")["flows"] == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(("nowhere",), "flow is 'nowhere'; allowed: browse, cart, pay"), (("--hours", "0"), "0 is not in the range")],
)
def test_wrong_usage(shop, arguments, said):
    """
    An unknown flow and hours that are none exit with 2 and say what is allowed.
    """
    done = shop.run("mismatches", *arguments, "--json")

    assert done.returncode == 2
    assert said in json.loads(done.stderr)["error"]["message"]
