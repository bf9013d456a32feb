"""
The shapes of what a relay takes and gives, as JSON Schema.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

__all__ = ["SCHEMAS", "Schema"]

Schema = Mapping[str, Any]

TEXT: Final[Schema] = {"type": "string"}
INSTANT: Final[Schema] = {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$"}
HEX: Final[Schema] = {"type": "string", "pattern": "^([0-9a-f]{2})+$"}
HASH: Final[Schema] = {"type": "string", "pattern": "^[0-9a-f]{64}$"}
COUNT: Final[Schema] = {"type": "integer", "minimum": 0}
FROM_ONE: Final[Schema] = {"type": "integer", "minimum": 1, "maximum": 2**53 - 1}
FLAG: Final[Schema] = {"type": "boolean"}
HEAD: Final[Schema] = {"$ref": "#/components/schemas/Head"}
TOTALS: Final[Schema] = {"type": "object", "description": "Numbers by kind, flow, back end and reason or outcome"}


def _either_null(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}


def _many(schema: Schema) -> Schema:
    return {"type": "array", "items": schema}


def _object(fields: Schema, *, optional: Schema | None = None) -> Schema:
    return {"type": "object", "properties": {**fields, **(optional or {})}, "required": sorted(fields)}


REPORT: Final[Schema] = {
    "schema": {"type": "string", "pattern": r"^1\.[0-9]+$"},
    "instance": {"type": "string", "pattern": "^[0-9a-f]{32}$"},
    "sequence": FROM_ONE,
    "at": INSTANT,
    "host": TEXT,
    "pid": {"type": "integer"},
    "started": INSTANT,
    "library": TEXT,
    "majors": _many({"type": "integer"}),
    "head": _either_null(HEAD),
    "regressed": FLAG,
    "break_glass": _many(TEXT),
    "closing": FLAG,
    "minutes": {"type": "object", "additionalProperties": TOTALS},
    "since_version": TOTALS,
}
RAN: Final = _many({"type": "array", "prefixItems": [FROM_ONE, FROM_ONE, COUNT], "minItems": 3, "maxItems": 3})
PLACES: Final = _many({"type": "array", "items": TEXT, "minItems": 3, "maxItems": 3})
ASKED: Final = _many({"type": "array", "prefixItems": [TEXT, TEXT, COUNT], "minItems": 3, "maxItems": 3})
LATER: Final[Mapping[str, Any]] = {
    "ran": RAN,
    "name": TEXT,
    "mismatches": _many(_object({"flow": TEXT, "at": INSTANT, "differences": PLACES})),
    "asked": ASKED,
}

SCHEMAS: Final[Mapping[str, Any]] = MappingProxyType(
    {
        "Name": {"type": "string", "pattern": "^[a-z0-9][a-z0-9._-]{0,63}$"},
        "Head": _object({"epoch": FROM_ONE, "version": FROM_ONE, "hash": HASH}),
        "Problem": _object(
            {
                "error": _object(
                    {"code": TEXT, "message": TEXT},
                    optional={"expected": TEXT, "actual": TEXT, "details": _many(TEXT), "in_doubt": FLAG},
                )
            }
        ),
        "Health": _object({"status": TEXT}, optional={"store_up": FLAG}),
        "Store": _object({"url": TEXT, "durability": TEXT, "store_up": FLAG, "now": INSTANT}),
        "Migrations": _object({"migrations": _many(TEXT)}),
        "Snapshot": _object(
            {
                "migration": TEXT,
                "head": HEAD,
                "ancestor": _either_null(TEXT),
                "floor": _many(TEXT),
                "age_ms": COUNT,
                "confirmed_at": _either_null(INSTANT),
            },
            optional={"document": TEXT, "secret": HEX},
        ),
        "Emergency": _object({"target": _either_null(TEXT), "actor": TEXT, "reason": TEXT}, optional={"ticket": TEXT}),
        "Emergencies": _object(
            {
                "emergencies": _many(
                    _object(
                        {
                            "target": _either_null(TEXT),
                            "flows": _many(TEXT),
                            "actor": TEXT,
                            "reason": TEXT,
                            "ticket": TEXT,
                            "at": INSTANT,
                            "version": FROM_ONE,
                            "change": TEXT,
                        }
                    )
                ),
                "floor": _many(TEXT),
                "kept": FLAG,
            }
        ),
        "Changes": _object({"changes": _many(TEXT), "more": FLAG}),
        "Write": _object(
            {"expect": _either_null(HEAD), "head": HEAD, "change": TEXT, "snapshot": TEXT}, optional={"secret": HEX}
        ),
        "Written": _object({"head": HEAD, "durability": TEXT}),
        "Fleet": _object(
            {
                "instances": _many(_object(REPORT, optional=LATER)),
                "minutes": {"type": "object", "additionalProperties": TOTALS},
                "hours": {"type": "object", "additionalProperties": TOTALS},
            }
        ),
        "CheckIn": _object({"report": _object(REPORT, optional=LATER)}, optional={"now": INSTANT}),
    }
)
