"""Changes of Open vSwitch's bridges and ports, as operations of one transaction (RFC 7047, section 5.2)."""

from collections.abc import Mapping, Sequence
from typing import Any

from .ovsdb import Operation

Columns = Mapping[str, Any]
"""Values by their columns. A mapping is merged into what the column holds."""


def add_port(bridge: str, name: str, port: Columns, interface: Columns) -> list[Operation]:
    """Make a port of one interface of the same name. Refused if the bridge is gone, or there is a port of that name."""
    of_port, of_interface = (f"{kind}_{name.encode().hex()}" for kind in ("port", "interface"))
    member = {"interfaces": ["named-uuid", of_interface]}
    return [
        _must_be("Bridge", bridge),
        _insert("Interface", name, interface, of_interface),
        _insert("Port", name, {**port, **member}, of_port),
        _mutate("Bridge", bridge, [["ports", "insert", ["named-uuid", of_port]]]),
    ]


def set_port(name: str, port: Columns, interface: Columns) -> list[Operation]:
    """Change a port and its interface of the same name. Refused if there is no such port."""
    return [*_set("Port", name, port), *_set("Interface", name, interface)]


def set_interface(name: str, interface: Columns) -> list[Operation]:
    """Change an interface. Refused if there is none of that name."""
    return _set("Interface", name, interface)


def set_bridge(name: str, bridge: Columns) -> list[Operation]:
    """Change a bridge. Refused if there is none of that name."""
    return _set("Bridge", name, bridge)


def forget_ids(bridge: str, keys: Sequence[str]) -> list[Operation]:
    """Remove these keys from a bridge's `external_ids`, where they are there."""
    return [_mutate("Bridge", bridge, [["external_ids", "delete", ["set", list(keys)]]])] if keys else []


def remove_port(bridge: str, uuid: str) -> list[Operation]:
    """Remove a port, if it is there."""
    return [_mutate("Bridge", bridge, [["ports", "delete", ["uuid", uuid]]])]


def _set(table: str, name: str, columns: Columns) -> list[Operation]:
    """`wait` refuses the whole transaction where the row is gone, which else would just change nothing."""
    maps = {column: value for column, value in columns.items() if isinstance(value, Mapping)}
    row = {column: value for column, value in columns.items() if column not in maps}
    # Inserting does not replace the value of a key that is there.
    merged: list[list[Any]] = []
    for column, value in maps.items():
        merged += [[column, "delete", ["set", list(value)]], [column, "insert", _value(value)]]
    return [
        _must_be(table, name),
        *([{"op": "update", "table": table, "where": _named(name), "row": row}] if row else []),
        *([_mutate(table, name, merged)] if merged else []),
    ]


def _must_be(table: str, name: str) -> Operation:
    return {
        "op": "wait", "table": table, "where": _named(name), "columns": ["name"], "until": "==",
        "rows": [{"name": name}], "timeout": 0,
    }  # fmt: skip


def _insert(table: str, name: str, columns: Columns, uuid_name: str) -> Operation:
    row = {"name": name} | {column: _value(value) for column, value in columns.items()}
    return {"op": "insert", "table": table, "row": row, "uuid-name": uuid_name}


def _mutate(table: str, name: str, mutations: Sequence[Sequence[Any]]) -> Operation:
    return {"op": "mutate", "table": table, "where": _named(name), "mutations": list(mutations)}


def _named(name: str) -> list[list[str]]:
    return [["name", "==", name]]


def _value(value: Any) -> Any:
    return ["map", [list(pair) for pair in value.items()]] if isinstance(value, Mapping) else value
