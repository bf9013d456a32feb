"""
What is left to chance: pauses of different lengths, and samples.
"""

from random import SystemRandom
from typing import Final

__all__ = ["CHANCE"]

#: Not the generator behind `random`: that is the application's, which may seed it, and whose tests may watch it.
#: It has no state, so that threads take no turns and a forked child does not draw what its parent draws.
CHANCE: Final = SystemRandom()
