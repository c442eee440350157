"""The syntax of `--nic`."""

from collections.abc import Callable, Mapping
from typing import Any

from kedge.model.errors import BadRequest

SYNTAX = "network=NAME[,ip=ADDRESS][,mac=MAC] or port=ID, each with [,queues=N][,offloads=on|off]"

_NAMES: Mapping[str, str] = {
    "network": "network",
    "port": "port",
    "ip": "ip_address",
    "mac": "mac_address",
    "queues": "queues",
    "offloads": "offloads",
}


def parse_nic(text: str) -> dict[str, Any]:
    """The API's NicRequest that `text` stands for. Raises BadRequest, saying what is wrong with which part."""
    nic: dict[str, Any] = {}
    for part in text.split(","):
        key, equals, value = part.strip().partition("=")
        if not equals or not value:
            raise _bad(text, f"{part!r} is not of the form key=value")
        if key not in _NAMES:
            raise _bad(text, f"{key!r} is not known")
        if _NAMES[key] in nic:
            raise _bad(text, f"{key!r} is given twice")
        nic[_NAMES[key]] = _VALUES.get(key, _same)(text, value)
    if ("network" in nic) == ("port" in nic):
        raise _bad(text, "it needs a network or a port, and not both")
    if "port" in nic and ("ip_address" in nic or "mac_address" in nic):
        raise _bad(text, "a port has its own ip and mac; they can't be given again")
    return nic


def _same(_text: str, value: str) -> str:
    return value


def _queues(text: str, value: str) -> int:
    if not value.isdecimal() or int(value) < 1:
        raise _bad(text, f"queues {value!r} is not a number from 1 on")
    return int(value)


def _offloads(text: str, value: str) -> bool:
    if value not in {"on", "off"}:
        raise _bad(text, f"offloads {value!r} is neither on nor off")
    return value == "on"


_VALUES: Mapping[str, Callable[[str, str], Any]] = {"queues": _queues, "offloads": _offloads}


def _bad(text: str, why: str) -> BadRequest:
    return BadRequest(f"--nic {text}: {why}. Give {SYNTAX}.")
