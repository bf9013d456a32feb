"""
A run as a picture for the documentation.
"""

import io
import re
from pathlib import Path
from typing import Final

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console, RenderableType

__all__ = ["HEIGHT", "WIDTH", "save_svg"]

WIDTH: Final = 92
HEIGHT: Final = 26  # leaves room for two commands
FONT_FACES: Final = re.compile(r"@font-face \{\{.*?\}\}\s*", re.DOTALL)


def save_svg(path: Path, content: RenderableType) -> None:
    """
    Write a picture that loads nothing from elsewhere: it is drawn with the reader's own font.
    """
    console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True, highlight=False)
    console.print(content)
    picture = console.export_svg(title="make demo", code_format=FONT_FACES.sub("", CONSOLE_SVG_FORMAT))
    path.write_text(picture, encoding="utf-8")
