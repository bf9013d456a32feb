"""
For tests: of applications that route, and of stores and engines of homes that keep the contract.

The contracts are `StoreContract` and `HomesContract`; they are loaded on first use, because they need pytest and
hypothesis.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from cutover.testing.routers import TestRouter, router

if TYPE_CHECKING:
    from cutover.testing.homes_contract import HomesContract
    from cutover.testing.store_contract import StoreContract

__all__ = ["HomesContract", "StoreContract", "TestRouter", "router"]


LATER: Final = {
    "HomesContract": "cutover.testing.homes_contract",
    "StoreContract": "cutover.testing.store_contract",
}

if not TYPE_CHECKING:  # or every misspelt name would be one of an unknown type

    def __getattr__(name: str) -> Any:
        if name in LATER:
            return getattr(import_module(LATER[name]), name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
