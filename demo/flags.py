"""
What would have become of the same requests with a feature flag per flow, as flag systems do it.

Each flow's flag has a salt of its own, and the percentage that the flow's dial had when the request came. Nothing keeps
a user where a purchase was begun.
"""

from cutover.core.backend import Backend
from cutover.core.bucketing import position_of
from demo.trail import Trace

__all__ = ["side_by_flag"]


def side_by_flag(trace: Trace) -> Backend:
    """
    Say where the flag of its flow would have sent a request.
    """
    position = position_of(trace.flow.encode(), trace.user.encode())
    return Backend.NEW if position < trace.parts else Backend.OLD
