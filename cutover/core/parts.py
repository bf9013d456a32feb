"""
What a value is made of: the parts that a comparison looks at, and whether it can look at them at all.

A value is told by its type, and its fields are read from where they are stored. So neither `__eq__` nor `__getattr__`,
neither a property nor a lazy loader of a stranger runs. `core.comparison` states the rule in words.
"""

import json
from collections.abc import Callable, ItemsView, Iterator, Mapping, Sequence, ValuesView
from collections.abc import Set as AbstractSet
from dataclasses import fields as dataclass_fields
from datetime import date, time, timedelta
from enum import Enum, auto
from functools import lru_cache
from io import IOBase
from itertools import islice
from numbers import Number
from pathlib import PurePath
from types import BuiltinFunctionType, FunctionType, MemberDescriptorType, MethodType, ModuleType, SimpleNamespace
from typing import Any, Final, NamedTuple

import attrs

__all__ = [
    "ABSENT",
    "ATOMS",
    "VALUES",
    "NotComparable",
    "Shape",
    "Sort",
    "closable",
    "fields_of",
    "json_of",
    "name_of",
    "shape_of",
    "why_open",
]

MOST_LOOKED_THROUGH: Final = 1000  # parts of an answer that are searched for open ones
MOST_BLANKS: Final = 100  # before JSON
LONGEST_JSON: Final = 1 << 18  # bytes of a response's body that are read as JSON; the interpreter cannot pause in it
ATOMS: Final = frozenset({str, int, float, bool, type(None), bytes, complex})  # exactly these: nothing of a stranger
CONSTANTS: Final = (type(None), type(...), type(NotImplemented), type, ModuleType)
VALUES: Final = (str, bytes, bytearray, memoryview, Number, date, time, timedelta, Enum, PurePath, *CONSTANTS)
CONTAINERS: Final = (Mapping, Sequence, AbstractSet, ValuesView)
FUNCTIONS: Final = (FunctionType, BuiltinFunctionType, MethodType)
LAZY: Final = frozenset({"all", "iterator", "execute", "fetchall"})  # one of them beside `__iter__`: a query
READS: Final = frozenset({"read", "recv", "fetchone"})
CLOSES: Final = frozenset({"close", "aclose"})
BLOCKS: Final = frozenset({"__enter__", "__aenter__", "__iter__", "__aiter__"})
ELEMENT: Final = frozenset({"tag", "attrib", "text", "tail", "__len__"})  # of XML
FUTURE: Final = frozenset({"result", "cancel", "add_done_callback"})
RUNS: Final = frozenset({"__next__", "__anext__", "__await__", "__aiter__"})
# What object-relational mappers keep beside the columns of a row.
BOOKKEEPING: Final = frozenset({"_state", "_sa_instance_state", "_prefetched_objects_cache"})
NUMERIC: Final = frozenset("biufcmMSU")  # kinds of numpy's types that are compared in C
QUALIFIED_NAME: Final = type.__dict__["__qualname__"].__get__
MODULE: Final = type.__dict__["__module__"].__get__


class _Absent:
    def __repr__(self) -> str:
        return "absent"

    def __copy__(self) -> "_Absent":
        return self


ABSENT: Final = _Absent()  # what a side has where only the other has something


class NotComparable(Exception):
    """
    Two answers cannot be compared; the text says why, and holds nothing of them but names of types.

    Attributes:
        path: Where it stands in the answers.
    """

    path: str = ""


class Sort(Enum):
    """
    How values are compared.
    """

    VALUE = auto()  # by `==`
    MAPPING = auto()
    SEQUENCE = auto()
    SET = auto()
    OBJECT = auto()  # by fields
    ROW = auto()  # by the fields that both have loaded
    ARRAY = auto()
    RESPONSE = auto()


class Shape(NamedTuple):
    """
    A value, told by what it is made of.

    Attributes:
        parts: The value itself, or a mapping of names to its parts.
        kind: The type that both sides must have, where parts are fields.
        names: The names of a sequence's items, where they have names.
    """

    sort: Sort
    parts: Any
    kind: Any = None
    names: tuple[str, ...] | None = None


@attrs.frozen(eq=False)
class _Kind:
    """
    A type, with all that a comparison asks of it.

    Attributes:
        names: All that it and its bases define.
        members: Slots, and fields of types that are written in C.
        computed: Properties whose values are stored beside the fields once they were asked for.
        declared: By name of a declared field, whether it is compared: False, True, or by what a function makes of it.
        is_whole: The declared fields are all fields.
        is_value: Its objects are compared by `==`.
        is_container: They are compared by what they hold.
    """

    names: frozenset[str]
    members: tuple[tuple[str, Any], ...]
    computed: frozenset[str]
    declared: Mapping[str, bool | Callable[[Any], Any]]
    is_whole: bool
    is_value: bool
    is_container: bool


def name_of(stranger: object) -> str:
    """
    Name the type of an object with its module, whatever its metaclass says; those of builtins have none.
    """
    kind = type(stranger)
    module, name = MODULE(kind), QUALIFIED_NAME(kind)
    return f"{module}.{name}" if isinstance(module, str) and module != "builtins" else str(name)


def shape_of(value: Any) -> Shape:
    """
    Tell how a value is compared.

    Raises:
        NotComparable: If looking at it would use it up, or if it has nothing to be compared by.
    """
    kind: Any = type(value)
    known = _kind(kind)
    if known.is_value:
        return Shape(Sort.VALUE, value)
    if known.declared and not known.is_container:
        return _shape_of_object(value, known)
    if kind is range:
        return Shape(Sort.SEQUENCE, value)
    if (target := _target(value, known)) is not value:
        return shape_of(target)
    if "shape" in known.names and known.names & {"dtype", "dtypes"}:
        return _shape_of_array(value)
    if (response := _response(value, known)) is not None:
        return Shape(Sort.RESPONSE, response)
    if reason := why_open(value):
        raise NotComparable(reason)
    if known.is_container:
        return _shape_of_container(value, known)
    if known.names >= ELEMENT:
        parts = {name: getattr(value, name) for name in ("tag", "attrib", "text", "tail")}
        return Shape(Sort.OBJECT, {**parts, "children": list(value)}, kind)
    return _shape_of_object(value, known)


def why_open(value: Any) -> str:
    """
    Say why a value cannot be looked at without using it up or asking a back end; empty where it can.
    """
    kind: Any = type(value)
    if kind in ATOMS or kind in (dict, list, tuple):
        return ""
    known = _kind(kind)
    if known.declared:
        return ""
    own = _dict_of(value)
    if own.get("_result_cache", ABSENT) is None:
        return f"a {name_of(value)} was not asked yet: return a list of it"
    if "_result_cache" in own:
        return ""
    if _is_response(known, own):
        is_open = _is_open_response(value, known, own)
    else:
        is_file = known.names & READS and known.names & CLOSES and known.names & BLOCKS
        is_query = "__iter__" in known.names and known.names & LAZY and not known.is_container
        is_query = is_query or "get_queryset" in known.names
        is_later = known.names >= FUTURE
        is_open = bool(known.names & RUNS or is_file or is_query or is_later or issubclass(kind, IOBase))
        is_open = is_open and "shape" not in known.names
    return f"a {name_of(value)} is read only once, and belongs to the caller: return its content" if is_open else ""


def closable(value: Any) -> Iterator[Any]:
    """
    Give what is open in an answer and can be closed: itself, or what its containers and declared fields hold.

    Of other objects, only responses are given.
    """
    seen: dict[int, Any] = {}
    waiting = [value]
    while waiting and len(seen) < MOST_LOOKED_THROUGH:
        one = waiting.pop()
        kind: Any = type(one)
        if kind in ATOMS or id(one) in seen:
            continue
        seen[id(one)] = one
        if kind is dict or (issubclass(kind, Mapping) and not why_open(one)):
            waiting.extend(islice(one.values(), MOST_LOOKED_THROUGH))
        elif kind in (list, tuple, set, frozenset):
            waiting.extend(islice(one, MOST_LOOKED_THROUGH))
        elif issubclass(kind, BaseException):  # such as an error of HTTP, which holds its response
            waiting.extend(part for name, part in _dict_of(one).items() if name in ("fp", "response"))
        elif kind is SimpleNamespace or _kind(kind).declared or "__pydantic_extra__" in _kind(kind).names:
            waiting.extend((fields_of(one) or {}).values())
        elif why_open(one):
            yield getattr(one, "body_iterator", one)  # of Starlette, whose responses have no `close`
        else:  # an object may hold a file or a connection that the application shares, but a response is of one call
            waiting.extend(filter(_answers_a_request, _dict_of(one).values()))


def json_of(body: Any) -> Any:
    """
    Read the body of a response as JSON; `ABSENT` where it is none, or is large.
    """
    if not isinstance(body, str | bytes) or len(body) > LONGEST_JSON:
        return ABSENT
    if body[:MOST_BLANKS].lstrip()[:1] not in ("{", "[", b"{", b"["):
        return ABSENT
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return ABSENT


def fields_of(value: Any) -> dict[str, Any] | None:
    """
    Give all that an object stores, from where it is stored; None where it stores nothing that can be seen.
    """
    kind: Any = type(value)
    known = _kind(kind)
    own = _dict_of(value)
    found = {}
    for name, member in known.members:
        stored = _member(member, value, kind)
        if stored is not ABSENT:
            found[name] = stored
    found.update(own)
    if extra := found.pop("__pydantic_extra__", None):
        found |= extra
    if issubclass(kind, BaseException):
        found["args"] = value.args
    return found if found or "__dict__" in known.names or known.members else None


def _target(value: Any, known: _Kind) -> Any:
    """
    Give what a proxy stands for.
    """
    if "_get_current_object" in known.names:  # of Werkzeug
        return object.__getattribute__(value, "_get_current_object")()
    own = _dict_of(value)
    if "_setupfunc" in own and "_wrapped" in own:  # of Django
        if type(own["_wrapped"]) is object:
            raise NotComparable(f"a {name_of(value)} was not asked yet")
        return own["_wrapped"]
    return own["_result_cache"] if own.get("_result_cache") is not None else value  # a query of Django that was asked


def _shape_of_array(value: Any) -> Shape:
    kind: Any = type(value)
    if "equals" in _kind(kind).names:
        return Shape(Sort.ARRAY, value, kind)
    if names := getattr(value.dtype, "names", None):
        return Shape(Sort.MAPPING, {name: value[name] for name in names})
    if value.shape == ():
        return shape_of(value.item()) if type(value.item()) is not type(value) else Shape(Sort.VALUE, value)
    if getattr(value.dtype, "kind", "") in NUMERIC and not hasattr(value, "mask"):
        return Shape(Sort.ARRAY, value)
    return Shape(Sort.SEQUENCE, value.tolist())


def _shape_of_container(value: Any, known: _Kind) -> Shape:
    kind: Any = type(value)
    if issubclass(kind, Mapping):
        if "lists" in known.names:  # several values of one name
            return Shape(Sort.MAPPING, dict(value.lists()))
        return Shape(Sort.MAPPING, value)
    if issubclass(kind, ItemsView):
        return Shape(Sort.MAPPING, dict(value))
    if issubclass(kind, AbstractSet):
        return Shape(Sort.SET, value)
    names = value._fields if "_fields" in known.names else value.keys() if "keys" in known.names else None
    named = None if names is None else tuple(map(str, names))
    return Shape(Sort.SEQUENCE, value, names=named if named and len(set(named)) == len(named) else None)


def _shape_of_object(value: Any, known: _Kind) -> Shape:
    kind: Any = type(value)
    found = fields_of(value)
    if issubclass(kind, FUNCTIONS) or not found:
        if kind.__eq__ is not object.__eq__ and not issubclass(kind, FUNCTIONS):
            return Shape(Sort.VALUE, value)
        if found is None or issubclass(kind, FUNCTIONS):
            raise NotComparable(f"a {name_of(value)} has neither fields nor a comparison of its own")
    if found is None:
        found = {}
    is_row = "_sa_instance_state" in found or ("_state" in found and "_meta" in known.names)
    if known.declared:
        found = dict(_declared(value, found, known, is_row=is_row))
    if is_row:
        related = _dict_of(found.get("_state")).get("fields_cache", {})  # of Django
        found = {**found, **related, **found.get("_prefetched_objects_cache", {})}
    left_out = known.computed | BOOKKEEPING if is_row else known.computed
    found = {name: part for name, part in found.items() if name not in left_out}
    return Shape(Sort.ROW if is_row else Sort.OBJECT, found, kind)


def _declared(value: Any, found: dict[str, Any], known: _Kind, *, is_row: bool) -> Iterator[tuple[str, Any]]:
    for name, compared in known.declared.items():
        if compared is False:
            continue
        part = found.get(name, ABSENT)
        if part is ABSENT and not is_row:  # a descriptor stores it elsewhere
            part = getattr(value, name, ABSENT)
        if part is not ABSENT:
            yield name, part if compared is True else compared(part)
    if not known.is_whole:
        yield from ((name, part) for name, part in found.items() if name not in known.declared)


def _answers_a_request(value: Any) -> bool:
    kind: Any = type(value)
    return _is_response(_kind(kind), _dict_of(value))


def _is_response(known: _Kind, own: Mapping[str, Any]) -> bool:
    def has(name: str) -> bool:
        return name in known.names or name in own

    if not has("headers") or known.declared:
        return False
    if has("status_code"):
        return has("content") or has("body") or has("body_iterator") or "get_data" in known.names
    return "status" in (known.names | own.keys()) and "_body" in own


def _is_open_response(value: Any, known: _Kind, own: Mapping[str, Any]) -> bool:
    def said(name: str) -> Any:
        return getattr(value, name, None) if name in known.names or name in own else None

    if said("is_closed") is False or said("streaming") is True or "body_iterator" in own:
        return True
    if said("is_streamed") is True or said("direct_passthrough") is True:
        return True
    return own.get("_content", b"") is False or ("status_code" not in own and own.get("_body", b"") is None)


def _response(value: Any, known: _Kind) -> dict[str, Any] | None:
    """
    Give status and body of a response of any library; None for what is none.
    """
    own = _dict_of(value)
    if not _is_response(known, own) or _is_open_response(value, known, own):
        return None
    if "status_code" not in known.names and "status_code" not in own:
        return {"status": value.status, "body": own["_body"]}
    status = value.status_code
    if getattr(value, "is_rendered", True) is False:
        names = ("data", "template_name", "context_data")
        return {"status": status, **{name: getattr(value, name, None) for name in names}}
    try:
        body = value.content if "content" in known.names else value.body if "body" in own else value.get_data()
    except Exception as error:
        raise NotComparable(f"the body of a {name_of(value)} cannot be read: {name_of(error)}") from error
    return {"status": status, "body": body}


@lru_cache(maxsize=1024)
def _kind(kind: type) -> _Kind:
    names: set[str] = set()
    members: dict[str, Any] = {}
    computed: set[str] = set()
    for base in reversed(kind.__mro__[:-1]):
        for name, attribute in vars(base).items():
            names.add(name)
            if type(attribute) is MemberDescriptorType and (not _is_special(name) or name == "__pydantic_extra__"):
                members[name] = attribute
            if _is_computed(attribute):
                computed.add(name)
    declared, is_whole = _declarations(kind)
    return _Kind(
        names=frozenset(names),
        members=tuple(members.items()),
        computed=frozenset(computed),
        declared=declared,
        is_whole=is_whole,
        is_value=issubclass(kind, VALUES),
        is_container=issubclass(kind, CONTAINERS),
    )


def _declarations(kind: type) -> tuple[dict[str, bool | Callable[[Any], Any]], bool]:
    if attrs.has(kind):
        return {one.name: one.eq_key or bool(one.eq) for one in attrs.fields(kind)}, "__attrs_attrs__" in vars(kind)
    if "__dataclass_fields__" in dir(kind):
        return {one.name: one.compare for one in dataclass_fields(kind)}, "__dataclass_fields__" in vars(kind)
    return {}, False


def _is_special(name: str) -> bool:
    return name.startswith("__") and name.endswith("__")


def _is_computed(attribute: Any) -> bool:
    """
    Tell a property that stores what it has computed under its own name.
    """
    kind = type(attribute)
    if kind is property or not hasattr(kind, "__get__"):
        return False
    return issubclass(kind, property) or bool(_dict_of(attribute).keys() & {"func", "fget"})


def _dict_of(value: Any) -> dict[str, Any]:
    try:
        own = object.__getattribute__(value, "__dict__")
    except AttributeError:
        return {}
    return own if type(own) is dict else {}


def _member(member: Any, value: Any, kind: type) -> Any:
    try:
        return member.__get__(value, kind)
    except AttributeError:  # not set
        return ABSENT
