"""
The function that `Flow.switch` makes: it takes its key first, and binds like a method where a class holds it.
"""

from collections.abc import Callable
from functools import partial
from types import MethodType
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Protocol, TypeVar, overload

from cutover.callables import is_coroutine_function

__all__ = ["BindingSwitch", "Switched", "switched_of"]

P = ParamSpec("P")
R_co = TypeVar("R_co", covariant=True)
Function = Callable[..., Any]

if TYPE_CHECKING:
    _Partial = partial[Any]
else:
    _Partial = partial


class BindingSwitch(Protocol[P, R_co]):
    """
    The type of a switch. P are the parameters that its two functions have after the first one.
    """

    def __call__(self, key: Any, /, *arguments: P.args, **named: P.kwargs) -> R_co:
        """
        Call the side of the key.
        """
        ...

    @overload
    def __get__(self, instance: None, owner: type, /) -> Callable[Concatenate[Any, P], R_co]: ...

    @overload
    def __get__(self, instance: object, owner: type | None = None, /) -> Callable[P, R_co]: ...


class Switched(_Partial):
    """
    One function of two. Where a class holds it, it binds like a method: the functions get the object, and the key is
    the argument after it. `staticmethod` leaves it unbound.

    It is a `partial` because Python calls no other object that binds as fast, and because `inspect`, Starlette and
    FastAPI find the coroutine function inside of a `partial`.

    Attributes:
        func: Takes the key first.
        method: Takes an object first, and the key after it.
    """

    method: Function
    __name__: str

    def __set_name__(self, owner: type, name: str) -> None:
        # As a method has: `pickle` finds a bound one by its name.
        self.method.__name__, self.method.__qualname__ = name, f"{owner.__qualname__}.{name}"

    def __get__(self, instance: object, owner: type | None = None) -> Function:
        if instance is not None:
            return MethodType(self.method, instance)
        return self if owner is None else _shown_by(owner, self)

    def __repr__(self) -> str:
        return f"<switch {self.__name__!r}>"


def switched_of(direct: Function, method: Function, *, name: str, old: object) -> Switched:
    """
    Put a switch together, of one function that takes the key first and one that takes an object before it.

    Args:
        old: Whose signature and docstring are shown.
    """
    made = Switched(direct)
    made.method = method
    one: Any
    for one in (
        (direct, made) if hasattr(method, "__wrapped__") else (direct, method, made)
    ):  # it may have a name already
        one.__name__ = one.__qualname__ = name
        one.__module__ = getattr(old, "__module__", __name__)
        one.__doc__ = getattr(old, "__doc__", None)
        one.__wrapped__ = old
    return made


def _shown_by(owner: type, switched: Any) -> Switched:
    """
    Give what a class shows: it is called with an object of the class and a key, or with the key first.
    """

    def chosen(arguments: tuple[Any, ...]) -> Function:
        is_method = len(arguments) > 0 and issubclass(type(arguments[0]), owner)
        function: Function = switched.method if is_method else switched.func
        return function

    def called(*arguments: Any, **named: Any) -> Any:
        return chosen(arguments)(*arguments, **named)

    async def awaited(*arguments: Any, **named: Any) -> Any:
        return await chosen(arguments)(*arguments, **named)

    shown = awaited if is_coroutine_function(switched) else called
    return switched_of(shown, switched.method, name=switched.__name__, old=switched.__wrapped__)
