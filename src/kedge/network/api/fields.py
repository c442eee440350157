"""The kinds of values that requests' bodies have, with Neutron's limits and words."""

import json
import re
from collections.abc import Mapping
from ipaddress import ip_network
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints, WithJsonSchema
from pydantic_core import PydanticCustomError

from ..addresses import checked_mac
from ..errors import InvalidInput
from ..local import delegation

PROFILE_MAX = 4095  # characters of the JSON text of a binding's profile
TAG_MAX = 255
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def _uuid(value: str) -> str:
    # In the one form in which it is stored; what else `uuid.UUID` reads (braces, no dashes) Neutron refuses too.
    if not _UUID.fullmatch(value.lower()):
        raise PydanticCustomError("uuid", "'{value}' is not a valid UUID", {"value": value[:64]})
    return value.lower()


def _block_source(value: str) -> str:
    return value if value == delegation.POOL else _uuid(value)


def _fitting_profile(value: dict[str, Any]) -> dict[str, Any]:
    if _length(value) > PROFILE_MAX:
        raise PydanticCustomError(
            "profile_too_long",
            "binding:profile value too large, at most {max} characters",
            {"max": PROFILE_MAX},
        )
    return value


def _unique(values: list[str]) -> list[str]:
    if len(values) != len(set(values)):
        raise PydanticCustomError("not_unique", "Duplicate items in the list")
    return values


def _nothing(values: list[Any]) -> list[Any]:
    if values:
        raise PydanticCustomError("not_supported", "Kedge does not have these; leave them out")
    return values


def _none_of_these(value: Any) -> Any:
    if value:
        raise PydanticCustomError("not_supported", "Kedge does not have this; leave it out, or give null")
    return value


def _not_null(value: Any) -> Any:
    if value is None:
        raise PydanticCustomError("null", "null is no value for it")
    return value


def _address_or_block(value: str) -> str:
    try:
        ip_network(value, strict=False)
    except ValueError:
        raise PydanticCustomError(
            "address", "'{value}' is neither an IP address nor a CIDR", {"value": value}
        ) from None
    return value


def _mac(value: str) -> str:
    try:
        return checked_mac(value)
    except InvalidInput as error:
        raise PydanticCustomError("mac", "{why}", {"why": str(error)}) from None


def refuse_long_profile(profile: Mapping[str, Any]) -> None:
    """Raise InvalidInput for a profile that merging has made too long to be stored by Neutron too."""
    if _length(profile) > PROFILE_MAX:
        raise InvalidInput(
            f"binding:profile value too large: with what is there already it is over {PROFILE_MAX} characters; "
            "remove a key by giving it as null."
        )


def _length(profile: Mapping[str, Any]) -> int:
    return len(json.dumps(profile))


Name = Annotated[str, StringConstraints(max_length=255)]
Host = Annotated[str, StringConstraints(min_length=1, max_length=255)]
Address = Annotated[str, StringConstraints(max_length=64)]
AddressOrBlock = Annotated[Address, AfterValidator(_address_or_block)]
Mac = Annotated[Address, AfterValidator(_mac)]
FullName = Annotated[str, StringConstraints(min_length=1, max_length=255, pattern=r"\S")]
Uuid = Annotated[str, AfterValidator(_uuid), WithJsonSchema({"type": "string", "format": "uuid"})]
BlockSource = Annotated[
    str,
    AfterValidator(_block_source),
    WithJsonSchema({"anyOf": [{"type": "string", "format": "uuid"}, {"const": "prefix_delegation"}]}),
]
Profile = Annotated[dict[str, Any], AfterValidator(_fitting_profile)]
Tag = Annotated[str, StringConstraints(min_length=1, max_length=TAG_MAX)]
Tags = Annotated[list[Tag], AfterValidator(_unique)]
Nothing = Annotated[
    list[Any], AfterValidator(_nothing), WithJsonSchema({"type": "array", "items": {}, "maxItems": 0})
]
Unset = Annotated[Any, AfterValidator(_none_of_these), WithJsonSchema({"enum": [None, False, [], ""]})]
"""What answers show, or other services have, and Kedge has not: taken back as it is shown, and nothing else."""
IpVersion = Annotated[Literal[4, 6] | None, BeforeValidator(_not_null)]
PrefixLength = Annotated[int, Field(ge=0, le=128)]
PoolQuota = Annotated[int, Field(ge=0, le=2**31 - 1)]
Ipv6Mode = Literal["slaac", "dhcpv6-stateful", "dhcpv6-stateless"] | None
VnicType = Literal[
    "normal",
    "direct",
    "macvtap",
    "baremetal",
    "direct-physical",
    "virtio-forwarder",
    "smart-nic",
    "accelerator-direct",
    "accelerator-direct-physical",
    "remote-managed",
    "vdpa",
]
