"""
The version of this library, as it is installed.
"""

__all__ = ["VERSION"]

VERSION = "0.1.0"
