"""
A clock for tests that stands still.
"""

from datetime import UTC, datetime, timedelta


class Clock:
    """
    A clock that stands still until it is moved.
    """

    def __init__(self):
        self.now = datetime(2026, 1, 11, 12, tzinfo=UTC)

    def __call__(self):
        """
        Tell the time.
        """
        return self.now

    def forward(self, **span):
        """
        Move on by a span.
        """
        self.now += timedelta(**span)
