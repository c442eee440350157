"""How one attribute is compared with what a query asks for, as Neutron compares it."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

from kedge.model.errors import BadRequest

from ..addresses import checked_cidr
from ..errors import InvalidInput

Condition = Callable[[Any], bool]

_BOOLEANS = {"admin_state_up", "alive", "enable_dhcp", "is_default", "router:external", "shared"}
# The words that Neutron takes (oslo.utils' `bool_from_string`).
_TRUTH = dict.fromkeys(("1", "t", "true", "on", "y", "yes"), True)
_TRUTH |= dict.fromkeys(("0", "f", "false", "off", "n", "no"), False)
_PARTS_OF_ADDRESSES: dict[str, Callable[[Any, str], bool]] = {
    "ip_address": lambda address, text: _text(address["ip_address"]) == text,
    "ip_address_substr": lambda address, text: text in _text(address["ip_address"]),
    "subnet_id": lambda address, text: _text(address["subnet_id"]) == text,
}


def condition(name: str, texts: Sequence[str]) -> Condition:
    """Whether an attribute's value is one of those that a query gives as `texts`. Raises BadRequest.

    Capital and small letters are the same. What is inside `fixed_ips` has names of its own, of which each has to
    hold (`ip_address=10.0.0.5` and `subnet_id=…`); several values of one are alternatives here as well.
    """
    if name == "fixed_ips":
        return _of_addresses(texts)
    if name == "cidr":
        texts = [str(checked_cidr(text)) for text in texts]
    if name in _BOOLEANS:
        texts = [str(boolean(name, text)) for text in texts]
    wanted = {text.lower() for text in texts}
    return lambda value: _text(value) in wanted


def boolean(name: str, text: str) -> bool:
    """The value of a parameter that is true or false. Raises InvalidInput, naming it, for anything else."""
    if text.lower() not in _TRUTH:
        raise InvalidInput(f"{name} {text[:64]!r} is neither true nor false")
    return _TRUTH[text.lower()]


def _of_addresses(texts: Sequence[str]) -> Condition:
    wanted: dict[str, list[str]] = defaultdict(list)
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or name not in _PARTS_OF_ADDRESSES:
            raise BadRequest(
                f"fixed_ips {text[:64]!r} is not understood; "
                f"write one of {', '.join(f'{each}=…' for each in _PARTS_OF_ADDRESSES)}"
            )
        wanted[name].append(value.lower())
    return lambda addresses: all(
        any(_PARTS_OF_ADDRESSES[name](address, value) for address in addresses for value in values)
        for name, values in wanted.items()
    )


def _text(value: Any) -> str:
    return "" if value is None else str(value).lower()
