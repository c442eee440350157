"""The bodies of requests as they come: `{"port": {…}}`, and `{"ports": [{…}, …]}` where several can be made at once."""

from typing import Any, ClassVar

from pydantic import ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from .bodies import (
    AgentChanges,
    BindingChanges,
    Body,
    NetworkChanges,
    NewBinding,
    NewNetwork,
    NewPort,
    NewSubnet,
    NewSubnetPool,
    PortChanges,
    QuotaChanges,
    SubnetChanges,
    SubnetPoolChanges,
    SwitchRequest,
)
from .fields import Name, Tags

BULK_MAX = 1_000


_NETWORK = "1747ecff-8340-4f86-8565-2b34e04e41bf"
_SERVER = "5c4f0a52-0a3d-4a8e-9a3e-0e3b7a3f0001"


def _either(schema: dict[str, Any], model: type[Body]) -> None:
    # One of both has to be there; null, which only stands for what is left out, is not for callers.
    for name, value in schema["properties"].items():
        schema["properties"][name] = next(each for each in value["anyOf"] if each.get("type") != "null")
    schema["oneOf"] = [{"required": [name]} for name in schema["properties"]]
    schema["examples"] = [model.example]


def _unwrapped(item: Any, name: str) -> Any:
    return item[name] if isinstance(item, dict) and item.keys() == {name} else item


class OneOrMany(Body):
    """A creation of one thing, or of several at once: then all of them are made, or none."""

    model_config = ConfigDict(json_schema_extra=_either)
    names: ClassVar[tuple[str, str]]

    @model_validator(mode="before")
    @classmethod
    def _holds_one(cls, data: Any) -> Any:
        if isinstance(data, dict) and sum(data.get(name) is not None for name in cls.names) != 1:
            raise PydanticCustomError(
                "no_resource", "Unable to find '{name}' in request body", {"name": cls.names[0]}
            )
        one, many = cls.names
        if isinstance(data, dict) and isinstance(data.get(many), list):
            # Neutron takes each with its own envelope, {"ports": [{"port": {…}}]}, as well.
            return data | {many: [_unwrapped(each, one) for each in data[many]]}
        return data

    @property
    def wanted(self) -> list[Any]:
        """What is to be made."""
        one, many = (getattr(self, name) for name in self.names)
        return [one] if many is None else list(many)

    def answered(self, made: list[dict[str, Any]]) -> dict[str, Any]:
        """The answer's body, in the form of the request's."""
        one, many = self.names
        return {one: made[0]} if getattr(self, many) is None else {many: made}


class NewNetworkBody(OneOrMany):
    """One network, or several."""

    example: ClassVar[dict[str, Any]] = {
        "network": {
            "name": "blue",
            "provider:network_type": "vlan",
            "provider:physical_network": "physnet1",
            "provider:segmentation_id": 100,
        }
    }
    names = ("network", "networks")
    network: NewNetwork | None = None
    networks: list[NewNetwork] | None = Field(None, min_length=1, max_length=BULK_MAX)


class NewSubnetBody(OneOrMany):
    """One subnet, or several."""

    example: ClassVar[dict[str, Any]] = {
        "subnet": {"network_id": _NETWORK, "ip_version": 4, "cidr": "10.100.0.0/16"}
    }
    names = ("subnet", "subnets")
    subnet: NewSubnet | None = None
    subnets: list[NewSubnet] | None = Field(None, min_length=1, max_length=BULK_MAX)


class NewSubnetPoolBody(OneOrMany):
    """One subnet pool, or several."""

    example: ClassVar[dict[str, Any]] = {
        "subnetpool": {"name": "offices", "prefixes": ["10.0.0.0/8"], "default_prefixlen": 24}
    }
    names = ("subnetpool", "subnetpools")
    subnetpool: NewSubnetPool | None = None
    subnetpools: list[NewSubnetPool] | None = Field(None, min_length=1, max_length=BULK_MAX)


class NewPortBody(OneOrMany):
    """One port, or several."""

    example: ClassVar[dict[str, Any]] = {
        "port": {
            "network_id": _NETWORK,
            "device_id": _SERVER,
            "device_owner": "compute:nova",
            "binding:host_id": "h1",
        }
    }
    names = ("port", "ports")
    port: NewPort | None = None
    ports: list[NewPort] | None = Field(None, min_length=1, max_length=BULK_MAX)


class NewBindingBody(Body):
    """`{"binding": …}` of a creation."""

    example: ClassVar[dict[str, Any]] = {"binding": {"host": "h2", "profile": {"migrating_to": "h2"}}}
    binding: NewBinding

    @model_validator(mode="before")
    @classmethod
    def _refuse_bulk(cls, data: Any) -> Any:
        if isinstance(data, dict) and "bindings" in data:
            raise PydanticCustomError("bulk", "Bulk operation not supported")
        return data


class NetworkChangesBody(Body):
    """`{"network": …}` of a change."""

    example: ClassVar[dict[str, Any]] = {"network": {"name": "green"}}
    network: NetworkChanges


class SubnetChangesBody(Body):
    """`{"subnet": …}` of a change."""

    example: ClassVar[dict[str, Any]] = {"subnet": {"dns_nameservers": ["192.0.2.53"]}}
    subnet: SubnetChanges


class SubnetPoolChangesBody(Body):
    """`{"subnetpool": …}` of a change."""

    example: ClassVar[dict[str, Any]] = {"subnetpool": {"default_prefixlen": 26}}
    subnetpool: SubnetPoolChanges


class PortChangesBody(Body):
    """`{"port": …}` of a change."""

    example: ClassVar[dict[str, Any]] = {"port": {"name": "eth0", "binding:host_id": "h2"}}
    port: PortChanges


class BindingChangesBody(Body):
    """`{"binding": …}` of a change."""

    example: ClassVar[dict[str, Any]] = {"binding": {"profile": {"key": "value", "migrating_to": None}}}
    binding: BindingChanges


class AgentChangesBody(Body):
    """`{"agent": …}` of a change."""

    example: ClassVar[dict[str, Any]] = {"agent": {"admin_state_up": False, "description": "to be repaired"}}
    agent: AgentChanges


class QuotaChangesBody(Body):
    """`{"quota": …}` of a change."""

    example: ClassVar[dict[str, Any]] = {"quota": {"network": 10, "port": -1}}
    quota: QuotaChanges


class TagsBody(Body):
    """All tags that a resource is to have."""

    example: ClassVar[dict[str, Any]] = {"tags": ["lab", "blue"]}
    tags: Tags = Field(max_length=64)


class SwitchBody(Body):
    """`{"switch": …}`."""

    example: ClassVar[dict[str, Any]] = {"switch": {"device_id": _SERVER, "host": "h2"}}
    switch: SwitchRequest


class Activation(Body):
    """What Neutron's own tests send to activate a binding; it says what the path says."""

    port_id: Name = ""
