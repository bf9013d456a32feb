"""
A process that routes a number of keys, exposes its metrics, and goes on until its input ends.
"""

import json
import sys

from prometheus_client import CollectorRegistry, start_http_server

import cutover


def main(url: str, number: int, port: int) -> None:
    """
    Route, and say how many keys went where.
    """
    registry = CollectorRegistry()
    with cutover.connect(url, registry=registry, cache="off", fleet_metrics=True) as router:
        assert router.wait_ready(30)
        pay = router.flow("pay")
        start_http_server(port, addr="127.0.0.1", registry=registry)
        sides = {"old": 0, "new": 0}
        for key in range(number):
            with pay.request(f"user-{key}") as request:
                sides[request.backend] += 1
        sys.stdout.write(json.dumps(sides) + "\n")
        sys.stdout.flush()
        sys.stdin.read()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
