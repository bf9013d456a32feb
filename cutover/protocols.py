"""
Whether an object offers what a protocol asks for: one answer on every version of Python.

Python's own `isinstance` finds a method behind `__getattr__` up to 3.11, and no longer from 3.12 on.
"""

from typing import TYPE_CHECKING, Any, Final, Generic, Protocol

if TYPE_CHECKING:
    from abc import ABCMeta as ProtocolMeta
else:
    ProtocolMeta = type(Protocol)

__all__ = ["Checked", "missing_of"]

ABSENT: Final = object()


class Checked(ProtocolMeta):
    """
    The metaclass of protocols that `isinstance` is asked about; they also need `runtime_checkable`.

    A method may stand in the class of an object or in the object, or come from `__getattr__`. The empty method that a
    class inherits from the protocol is none.
    """

    def __instancecheck__(self, instance: object) -> bool:
        """
        Tell whether the object has every member of the protocol.
        """
        return not missing_of(instance, self)


def missing_of(thing: object, protocol: type) -> tuple[str, ...]:
    """
    Name the members of a protocol that an object lacks, sorted.
    """
    return tuple(name for name, wanted in sorted(_members(protocol).items()) if not _has(thing, name, wanted))


def _members(protocol: type) -> dict[str, Any]:
    bases = (base for base in protocol.__mro__ if base not in (Protocol, Generic, object))
    return {name: member for base in bases for name, member in vars(base).items() if not name.startswith("_")}


def _has(thing: object, name: str, wanted: object) -> bool:
    # Of a class, a property is only looked at: reading it may ask a server.
    found = next((vars(base)[name] for base in type(thing).__mro__ if name in vars(base)), ABSENT)
    if found is wanted:
        return False
    if found is ABSENT:
        try:
            found = getattr(thing, name)
        except AttributeError:
            return False
        except Exception:  # noqa: BLE001 - it is there, and cannot be read now
            return True
    return not callable(wanted) or found is not None
