"""
What a router process is called where operators see it.
"""

import os
import sys
from pathlib import PurePath
from typing import Final

from cutover.core.checkin import LONGEST_NAME
from cutover.errors import ConfigurationError

__all__ = ["instance_name", "program"]

VARIABLE: Final = "CUTOVER_INSTANCE"
NAMELESS: Final = "python"  # run by -c, from stdin, by an embedding program, or at a prompt


def instance_name(given: str | None = None) -> str:
    """
    Give the name of this process: as given, else as CUTOVER_INSTANCE says, else that of the program.

    Raises:
        ConfigurationError: If the name is empty, too long or not printable.
    """
    if given is not None:
        return _checked(given, "name")
    from_outside = os.environ.get(VARIABLE)
    return _checked(from_outside, VARIABLE) if from_outside else program()


def program() -> str:
    """
    Name the program that runs: the module of ``python -m``, else the file that was started.
    """
    spec = getattr(sys.modules.get("__main__"), "__spec__", None)
    module = "" if spec is None else str(spec.name).removesuffix(".__main__")
    if module and module != "__main__":  # a folder or an archive that is run has this name
        return _printable(module)
    started = next(iter(getattr(sys, "argv", ())), "")
    return NAMELESS if started in ("-", "-c") else _printable(PurePath(started).name)


def _checked(name: object, what: str) -> str:
    if isinstance(name, str) and 0 < len(name.strip()) <= LONGEST_NAME and name.strip().isprintable():
        return name.strip()
    given = repr(name)[: 2 * LONGEST_NAME] if isinstance(name, str) else f"of the type {type(name).__name__}"
    raise ConfigurationError(f"{what} is {given}; allowed: 1 to {LONGEST_NAME} printable characters, as checkout-api")


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in text)[:LONGEST_NAME] or NAMELESS
