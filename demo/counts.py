"""
What was counted of the requests, in three places that know nothing of each other: routers, store and back ends.
"""

import json
from collections import defaultdict
from collections.abc import Mapping
from urllib.request import urlopen

import attrs
from prometheus_client.parser import text_string_to_metric_families

from demo.folder import Folder
from demo.shop_database import Tally, read_tallies
from demo.stage import SHOPS

__all__ = ["Counted", "Tallies", "scraped", "seen", "stored"]

Tallies = Mapping[tuple[str, str], Tally]  # by flow and side, "old" or "new"


@attrs.frozen
class Counted:
    """
    What the routers counted.

    Attributes:
        evicted: How many visits.
        compared: How many comparisons came to each verdict.
    """

    tallies: Tallies
    evicted: int
    compared: Mapping[str, int]


def scraped(url: str) -> Counted:
    """
    Read what the routers counted from `/metrics`.
    """
    with urlopen(url, timeout=30) as response:
        text = response.read().decode()
    requests: dict[tuple[str, str], int] = defaultdict(int)
    outcomes: dict[tuple[str, str, str], int] = defaultdict(int)
    compared: dict[str, int] = defaultdict(int)
    evicted = 0
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            key = (sample.labels.get("flow", ""), sample.labels.get("backend", ""))
            if sample.name == "cutover_requests_total":
                requests[key] += int(sample.value)
            elif sample.name == "cutover_calls_total":
                outcomes[*key, sample.labels["outcome"]] += int(sample.value)
            elif sample.name == "cutover_shadow_comparisons_total":
                compared[sample.labels["outcome"]] += int(sample.value)
            elif sample.name == "cutover_visits_total" and sample.labels["event"] == "evicted":
                evicted += int(sample.value)
    tallies = {key: Tally(count, outcomes[*key, "error"], outcomes[*key, "unknown"]) for key, count in requests.items()}
    return Counted(tallies, evicted, compared)


def stored(status: str) -> Tallies:
    """
    Read the fleet's totals from the document of `cutover status --json`, which counts lost answers as failed.
    """
    flows = json.loads(status)["flows"]
    return {
        (flow["name"], side): Tally(flow["requests"][side], flow["errors"][side])
        for flow in flows
        for side in ("old", "new")
    }


def seen(folder: Folder) -> Tallies:
    """
    Read what the back ends were asked for from their own databases.
    """
    return {
        (flow, side): tally
        for side, shop in SHOPS.items()
        for flow, tally in read_tallies(folder.database(shop)).items()
    }
