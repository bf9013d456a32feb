"""
What ends the demo early.
"""

__all__ = ["DemoFailed"]


class DemoFailed(Exception):
    """
    A part of the demo did not do its part; the text says which.
    """
