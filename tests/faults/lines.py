"""
The network between clients and a server: it can be cut, fall silent, be slow, or lead to another server.
"""

import threading
from contextlib import contextmanager

from servers.proxy import Proxy


class Gate(threading.Event):
    """
    What data has to pass; it may be shut, and slow.
    """

    def __init__(self):
        super().__init__()
        self.delay = 0.0
        self._hurry = threading.Event()

    def wait(self, timeout=None):
        """
        Wait until it is open, and then for the delay.
        """
        passed = super().wait(timeout)
        if self.delay:
            self._hurry.wait(self.delay)
        return passed

    def slow_down(self, delay):
        """
        Hold back whatever comes for some seconds.
        """
        self._hurry.clear()
        self.delay = delay

    def speed_up(self):
        """
        Let through at once, also what is held back.
        """
        self.delay = 0.0
        self._hurry.set()


class Line(Proxy):
    """
    A proxy with gates that can be slow, and another end.
    """

    def __init__(self, port):
        super().__init__(port)
        self._requests, self._answers = Gate(), Gate()
        self.forward()

    @contextmanager
    def silent(self):
        """
        Forward nothing for a block, with all connections open.
        """
        self.hold()
        try:
            yield
        finally:
            self.forward()

    @contextmanager
    def slow(self, delay):
        """
        Delay all that is sent, both ways, for a block; what is late then arrives all the same.
        """
        for gate in (self._requests, self._answers):
            gate.slow_down(delay)
        try:
            yield
        finally:
            for gate in (self._requests, self._answers):
                gate.speed_up()

    def lead_to(self, port):
        """
        Lead to another server from now on; who is connected has to connect anew.
        """
        self._target = port
        self.cut()
