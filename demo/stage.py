"""
The processes of a run, brought up in the order in which they need each other.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import attrs

from demo.children import Child, Children
from demo.folder import Folder

__all__ = ["MIGRATION", "SHOPS", "Stage"]

SHOPS: Final[Mapping[str, str]] = {"old": "tiktok", "new": "tokopedia"}
MIGRATION: Final = "tokopedia"  # as in cutover.toml
WORKERS: Final = 3


@attrs.frozen
class Stage:
    """
    What is up.

    Attributes:
        metrics: The URL of the exporter.
    """

    shops: Sequence[Child]
    exporter: Child
    workers: Sequence[Child]
    metrics: str

    @classmethod
    def built(cls, children: Children, folder: Folder, events: int | None, repaired: int) -> "Stage":
        """
        Start shops and exporter, and the application once the shops listen.

        Args:
            repaired: The step of the replay from which on NEW makes no mistake.
        """
        wrong = {"old": 0, "new": repaired}
        shops = [
            children.start(
                shop, "demo.shop", "--database", str(folder.database(shop)), "--wrong-before", str(wrong[side])
            )
            for side, shop in SHOPS.items()
        ]
        exporter = children.start("exporter", "demo.exporter")
        old, new = (shop.hear() for shop in shops)
        command = ["demo.worker", "--cache", str(folder.cache), "--trail", str(folder.trails)]
        command += ["--old", old, "--new", new]
        if events is not None:
            command += ["--events", str(events)]
        workers = [
            children.start(f"worker-{number}", *command, "--share", str(number), str(WORKERS))
            for number in range(WORKERS)
        ]
        for worker in workers:
            worker.hear()
        return cls(shops, exporter, workers, f"http://127.0.0.1:{exporter.hear()}/metrics")

    def check(self) -> None:
        """
        Make sure that all of it runs; the shops come first, because a worker without its shop ends too.

        Raises:
            DemoFailed: If one has ended.
        """
        for child in (*self.shops, self.exporter, *self.workers):
            child.check()
