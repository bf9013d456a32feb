"""
Ports for servers.
"""

import itertools
import socket

# Below those that systems hand out by themselves: a server that is down for a while still has its port.
PORTS = itertools.cycle(range(15_000, 32_000))
CLAIMS = []


def free_port():
    """
    Find a port that nobody listens on, and that no other process of tests is given while this one runs.
    """
    while True:
        port = next(PORTS)
        claim = socket.socket(type=socket.SOCK_DGRAM)  # the servers use TCP: what UDP has under that number is ours
        try:
            claim.bind(("127.0.0.1", port))
            with socket.socket() as found:
                found.bind(("127.0.0.1", port))
        except OSError:
            claim.close()
        else:
            CLAIMS.append(claim)
            return port
