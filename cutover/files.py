"""
Small files that are either whole or not there.
"""

import contextlib
import os
import tempfile
from pathlib import Path
from typing import Final

__all__ = ["OWNER_ONLY", "write_whole"]

OWNER_ONLY: Final = 0o700


def write_whole(path: Path, content: bytes) -> None:
    """
    Replace a file in one step, readable for its owner alone; its folder is made if need be.

    Raises:
        OSError: If it cannot be written; what was there before is still there.
    """
    path.parent.mkdir(mode=OWNER_ONLY, parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            Path(name).unlink()
        raise
