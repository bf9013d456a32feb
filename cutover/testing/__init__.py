"""
For tests: of applications that route, and of stores and engines of homes that keep the contract.

The contracts are `StoreContract` and `HomesContract`; they are loaded on first use, because they need pytest and
hypothesis.
"""

from typing import TYPE_CHECKING, Any

from cutover.testing.routers import TestRouter, router

if TYPE_CHECKING:
    from cutover.testing.homes_contract import HomesContract
    from cutover.testing.store_contract import StoreContract

__all__ = ["HomesContract", "StoreContract", "TestRouter", "router"]


def __getattr__(name: str) -> Any:
    if name == "StoreContract":
        from cutover.testing.store_contract import StoreContract  # noqa: PLC0415 - needs pytest and hypothesis

        return StoreContract
    if name == "HomesContract":
        from cutover.testing.homes_contract import HomesContract  # noqa: PLC0415 - needs pytest

        return HomesContract
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
