"""
Named queries, kept in ``.sql`` and ``.lua`` files beside the engines that run them.
"""

import re
from collections.abc import Mapping
from importlib.resources import files
from types import MappingProxyType
from typing import Final

__all__ = ["load_queries"]

NAME: Final = re.compile(r"^-- name: (\w+)$", re.MULTILINE)


def load_queries(package: str, file: str) -> Mapping[str, str]:
    """
    Read the queries of one file by name.
    """
    text = files(package).joinpath(file).read_text(encoding="utf-8")
    _, *parts = NAME.split(text)
    return MappingProxyType(dict(zip(parts[::2], map(str.strip, parts[1::2]), strict=True)))
