"""
For tests: of applications that route, and of stores that keep the contract.

The contract is `cutover.testing.StoreContract`; it is loaded on first use, because it needs pytest and hypothesis.
"""

from typing import TYPE_CHECKING, Any

from cutover.testing.routers import TestRouter, router

if TYPE_CHECKING:
    from cutover.testing.store_contract import StoreContract

__all__ = ["StoreContract", "TestRouter", "router"]


def __getattr__(name: str) -> Any:
    if name == "StoreContract":
        from cutover.testing.store_contract import StoreContract  # noqa: PLC0415 - needs pytest and hypothesis

        return StoreContract
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
