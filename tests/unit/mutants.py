"""
The product with one rule broken, for tests that show that they would notice.
"""

import inspect
import sys
import textwrap
from collections.abc import Callable
from typing import Any

import attrs

__all__ = ["Mutant"]


@attrs.frozen(kw_only=True)
class Mutant:
    """
    One function with one piece of its text replaced.

    Attributes:
        rule: The rule that it breaks.
        owner: The module or class that the function is looked up in.
        was: A piece of the function's text that is there once.
        seed: Of the search that finds it.
    """

    rule: str
    owner: Any
    name: str
    was: str
    now: str
    seed: int = 0

    def __str__(self) -> str:
        return self.rule

    def function(self) -> Callable[..., Any]:
        """
        Give the broken function.

        Raises:
            AssertionError: If the text is not there once: the function was rewritten, and the mutant must follow.
        """
        whole = getattr(self.owner, self.name)
        text = textwrap.dedent(inspect.getsource(whole))
        if text.count(self.was) != 1:
            raise AssertionError(f"{whole.__qualname__} does not hold {self.was!r} once")
        scope: dict[str, Any] = {}
        code = compile(text.replace(self.was, self.now), f"<{self.rule}>", "exec")
        exec(code, vars(sys.modules[whole.__module__]), scope)
        return scope[self.name]
