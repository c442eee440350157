"""Who may give which attribute: judged of what was parsed, so under one name and in one form each."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NoReturn
from uuid import UUID

from kedge.model.caller import Role, refusal
from kedge.model.errors import Forbidden
from kedge.store.tables import NetworkRow, PortRow

from ..local.work import Work
from .bodies import Body, PortChanges

ADMIN = frozenset({Role.ADMIN})
BIND = frozenset({Role.SERVICE, Role.ADMIN})
KEDGES_OWN = "compute:kedge"


@dataclass(frozen=True)
class AttributeRule:
    """Only `roles` may give `attribute` in the body of the rules named `of`."""

    of: frozenset[str]
    attribute: str
    roles: frozenset[Role]


_NETWORK = frozenset({"create_network", "update_network"})
_SUBNET = frozenset({"update_subnet"})
_NEW_POOL = frozenset({"create_subnetpool"})
_PORT = frozenset({"create_port", "update_port"})

ATTRIBUTE_RULES = (
    AttributeRule(_NETWORK, "provider:network_type", ADMIN),
    AttributeRule(_NETWORK, "provider:physical_network", ADMIN),
    AttributeRule(_NETWORK, "provider:segmentation_id", ADMIN),
    AttributeRule(_NETWORK, "shared", ADMIN),
    AttributeRule(_SUBNET, "cidr", ADMIN),
    AttributeRule(_NEW_POOL, "shared", ADMIN),
    AttributeRule(_NEW_POOL | {"update_subnetpool"}, "is_default", ADMIN),
    AttributeRule(_PORT, "binding:host_id", BIND),
    AttributeRule(_PORT, "binding:profile", BIND),
    AttributeRule(_PORT, "trusted", ADMIN),
    AttributeRule(frozenset({"update_port"}), "mac_address", BIND),
)


def judge(work: Work, rule: str, body: Body, harmless: Mapping[str, Any] = MappingProxyType({})) -> None:
    """Raises Forbidden if the caller may not give one of these attributes, not even as null.

    `harmless` holds values that change nothing: those anybody may give.
    """
    if work.caller is None:
        return
    fields = type(body).model_fields
    values = {fields[name].alias or name: getattr(body, name) for name in body.model_fields_set}
    given = {name for name, value in values.items() if name not in harmless or harmless[name] != value}
    for each in ATTRIBUTE_RULES:
        if rule in each.of and each.attribute in given and not each.roles & work.caller.roles:
            rules = f"(rule:{rule} and rule:{rule}:{each.attribute})"
            raise Forbidden(refusal(rules, each.roles, work.caller))


def judge_device(work: Work, rule: str, network: NetworkRow, port: PortRow | None, body: PortChanges) -> None:
    """Raises Forbidden if the caller would make the port a server's NIC, or take it from one.

    A server's ports are those whose `device_id` is its UUID. One port too many and it can't be migrated, one too few
    and a NIC of it stays behind; so whoever runs the servers says which ports they have: an admin, or a service.
    What serves a network says its owner. Without a server's id a port counts for no server, so any `compute:…` may be
    its `device_owner`, but not the one by which Kedge knows the ports that it made itself.
    """
    if work.trusted:
        return
    given = body.given("device_id", "device_owner")
    was = {"device_id": port.device_id, "device_owner": port.device_owner} if port else {}
    changed = {name for name in given if given[name] != was.get(name, "")}
    if not changed:
        return
    if names_server(was.get("device_id", "")) or names_server(given.get("device_id", "")):
        _refuse(work, rule, "device_id")
    owner = given.get("device_owner", "")
    if owner.strip().lower() == KEDGES_OWN:
        _refuse(work, rule, "device_owner")
    if owner.startswith("network:") and not work.shows(network.project_id):
        _refuse(work, rule, "device_owner")


def judge_deletion(work: Work, port: PortRow) -> None:
    """Raises Forbidden if the caller would delete a server's port, as `judge_device`."""
    if not work.trusted and names_server(port.device_id):
        _refuse(work, "delete_port", "device_id")


def judge_guest(work: Work, rule: str, network: NetworkRow, port: PortRow | None, body: PortChanges) -> None:
    """Raises Forbidden if a port on another project's network is to have an address that its maker names.

    That address could be the gateway's, or one that others are to have. As in Neutron's policy, only the subnet
    can be chosen there. What the port has already may be given once more.
    """
    if work.shows(network.project_id):
        return
    addresses = {each.ip_address for each in port.addresses} if port else set()
    pairs = port.allowed_address_pairs if port else []
    if port is None and body.mac_address is not None:
        _refuse(work, rule, "mac_address")
    if any(each.ip_address not in (None, *addresses) for each in body.fixed_ips or ()):
        _refuse(work, rule, "fixed_ips:ip_address")
    if any(each.model_dump(exclude_none=True) not in pairs for each in body.allowed_address_pairs):
        _refuse(work, rule, "allowed_address_pairs")


def names_server(device_id: str) -> bool:
    """Whether a server could have this id: servers' are UUIDs, in whatever spelling."""
    try:
        UUID(device_id)
    except ValueError:
        return False
    return True


def _refuse(work: Work, rule: str, attribute: str) -> NoReturn:
    assert work.caller is not None
    raise Forbidden(refusal(f"(rule:{rule} and rule:{rule}:{attribute})", BIND, work.caller))
