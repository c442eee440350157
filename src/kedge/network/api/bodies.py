"""The bodies of requests. Neutron's rule: an attribute that is not known is refused, not ignored."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from kedge.model.network_rules import ITEMS_MAX, UNLIMITED

from ..local.networks import MTU_MAX, MTU_MIN
from .fields import (
    Address,
    AddressOrBlock,
    BlockSource,
    FullName,
    Host,
    Ipv6Mode,
    IpVersion,
    Mac,
    Name,
    Nothing,
    PoolQuota,
    PrefixLength,
    Profile,
    Tags,
    Unset,
    Uuid,
    VnicType,
)

_STANDARD = frozenset({"id", "created_at", "updated_at", "revision_number"})


def _project() -> Any:
    return Field("", validation_alias=AliasChoices("project_id", "tenant_id"))


def _with_example(schema: dict[str, Any], model: type["Body"]) -> None:
    if model.example:
        schema["examples"] = [model.example]


class Body(BaseModel):
    """A part of a request's body."""

    model_config = ConfigDict(extra="forbid", json_schema_extra=_with_example)

    example: ClassVar[dict[str, Any]] = {}

    read_only: ClassVar[frozenset[str]] = frozenset()
    """What such a resource shows and this request can't set."""
    refusal: ClassVar[str] = "Attribute '{name}' not allowed in POST"

    @model_validator(mode="before")
    @classmethod
    def _refuse_read_only(cls, data: Any) -> Any:
        if isinstance(data, dict):
            for name in cls.read_only & data.keys():
                raise PydanticCustomError("read_only", cls.refusal, {"name": name})
        return data

    def given(self, *names: str) -> dict[str, Any]:
        """Those of the named attributes that the caller gave, even if as null."""
        return {name: getattr(self, name) for name in names if name in self.model_fields_set}


class Changes(Body):
    """A part of a request's body that changes what is there."""

    refusal = "Cannot update read-only attribute {name}"


class NetworkChanges(Changes):
    """What can be changed of a network."""

    read_only = _STANDARD | {
        "mtu",
        "status",
        "subnets",
        "tags",
        "project_id",
        "tenant_id",
        "provider:network_type",
        "provider:physical_network",
        "provider:segmentation_id",
    }
    name: Name = ""
    description: Name = ""
    admin_state_up: bool = True
    shared: bool = False
    router_external: Literal[False] = Field(False, alias="router:external")
    port_security_enabled: Unset = None
    availability_zone_hints: Unset = None
    vlan_transparent: Unset = None
    qos_policy_id: Unset = None
    dns_domain: Unset = None
    is_default: Unset = None
    ipv4_address_scope: Unset = None
    ipv6_address_scope: Unset = None


class NewNetwork(NetworkChanges):
    """A network to be made. What is left out of its segment is chosen from the configured ranges of VLANs."""

    read_only = _STANDARD | {"status", "subnets", "tags"}
    refusal = Body.refusal
    project_id: Name = _project()
    mtu: int = Field(1500, json_schema_extra={"minimum": MTU_MIN, "maximum": MTU_MAX})
    network_type: Literal["flat", "vlan"] | None = Field(None, alias="provider:network_type")
    physical_network: str | None = Field(None, alias="provider:physical_network", max_length=64)
    segmentation_id: int | None = Field(None, alias="provider:segmentation_id")


class AddressRange(Body):
    """A range of addresses."""

    start: Address
    end: Address


class HostRoute(Body):
    """A route for a subnet's servers."""

    destination: Address
    nexthop: Address


class SubnetChanges(Changes):
    """What can be changed of a subnet. `gateway_ip` null means none; `cidr` is for a delegated prefix."""

    read_only = _STANDARD | {
        "network_id",
        "ip_version",
        "ipv6_ra_mode",
        "ipv6_address_mode",
        "subnetpool_id",
        "prefixlen",
        "use_default_subnetpool",
        "tags",
        "project_id",
        "tenant_id",
    }
    name: Name = ""
    description: Name = ""
    cidr: Address = ""
    gateway_ip: Address | None = None
    enable_dhcp: bool = True
    allocation_pools: list[AddressRange] | None = Field(None, max_length=ITEMS_MAX)
    dns_nameservers: list[Address] | None = Field(None, max_length=ITEMS_MAX)
    host_routes: list[HostRoute] | None = Field(None, max_length=ITEMS_MAX)
    service_types: Nothing = Field(default_factory=list)
    segment_id: Unset = None
    dns_publish_fixed_ip: Unset = None
    router_external: Literal[False] = Field(False, alias="router:external")


class NewSubnet(SubnetChanges):
    """A subnet to be made. `gateway_ip` null means none; left out, the first address.

    Its block is `cidr`, or one that a subnet pool gives (`subnetpool_id`, `prefixlen`, `use_default_subnetpool`), or
    with `subnetpool_id` "prefix_delegation" a prefix that is not known yet.
    """

    read_only = _STANDARD | {"tags"}
    refusal = Body.refusal
    network_id: Uuid
    subnetpool_id: BlockSource | None = None
    prefixlen: PrefixLength | None = None
    use_default_subnetpool: bool = False
    ip_version: IpVersion = None
    ipv6_ra_mode: Ipv6Mode = None
    ipv6_address_mode: Ipv6Mode = None
    project_id: Name = _project()


class SubnetPoolChanges(Changes):
    """What can be changed of a subnet pool. Prefixes can only be added."""

    read_only = _STANDARD | {"ip_version", "shared", "tags", "project_id", "tenant_id"}
    name: FullName = ""
    description: Name = ""
    prefixes: list[Address] = Field(default_factory=list, max_length=ITEMS_MAX)
    min_prefixlen: PrefixLength = 0
    max_prefixlen: PrefixLength = 0
    default_prefixlen: PrefixLength = 0
    default_quota: PoolQuota | None = None
    is_default: bool = False
    address_scope_id: Unset = None


class NewSubnetPool(SubnetPoolChanges):
    """A subnet pool to be made. Left out, the lengths are Neutron's: from 8, or 64 with IPv6, to the longest."""

    read_only = _STANDARD | {"ip_version", "tags"}
    refusal = Body.refusal
    name: FullName
    prefixes: list[Address] = Field(max_length=ITEMS_MAX)
    shared: bool = False
    project_id: Name = _project()


class FixedIp(Body):
    """An address that a port is to have."""

    ip_address: Address | None = None
    subnet_id: Uuid | None = None
    delete_subnet: bool = Field(
        False, description="Have none of this subnet, not even the address that the guest makes itself."
    )


class AddressPair(Body):
    """An address that the server may use beside its own."""

    ip_address: AddressOrBlock
    mac_address: Mac | None = None


class PortChanges(Changes):
    """What can be changed of a port."""

    read_only = _STANDARD | {
        "status",
        "tags",
        "network_id",
        "project_id",
        "tenant_id",
        "binding:vif_type",
        "binding:vif_details",
    }
    name: Name = ""
    description: Name = ""
    admin_state_up: bool = True
    device_id: Name = ""
    device_owner: Name = ""
    mac_address: Address | None = None
    fixed_ips: list[FixedIp] | None = Field(None, max_length=ITEMS_MAX)
    allowed_address_pairs: list[AddressPair] = Field(default_factory=list, max_length=ITEMS_MAX)
    extra_dhcp_opts: Nothing = Field(default_factory=list)
    security_groups: Nothing = Field(default_factory=list)
    host_id: Name | None = Field(None, alias="binding:host_id")
    profile: Profile | None = Field(None, alias="binding:profile")
    vnic_type: VnicType = Field("normal", alias="binding:vnic_type")
    trusted: bool | None = Field(None, description="Kept in the binding's profile, where Nova looks for it.")
    port_security_enabled: Unset = None
    qos_policy_id: Unset = None
    dns_name: Unset = None
    dns_domain: Unset = None
    propagate_uplink_status: Unset = None
    numa_affinity_policy: Unset = None
    device_profile: Unset = None
    hints: Unset = None
    hardware_offload_type: Unset = None


class NewPort(PortChanges):
    """A port to be made."""

    read_only = _STANDARD | {"status", "binding:vif_type", "binding:vif_details"}
    refusal = Body.refusal
    network_id: Uuid
    project_id: Name = _project()
    tags: Tags = Field(default_factory=list, max_length=ITEMS_MAX)


class NewBinding(Body):
    """A binding to be made.

    With `migration_id`, a binding that is on that host already and not ACTIVE is adopted and made anew.
    """

    read_only = frozenset({"vif_type", "vif_details", "status", "vif_status"})
    host: Host
    vnic_type: VnicType | None = None
    profile: Profile | None = None
    migration_id: Uuid | None = None
    project_id: Name = _project()


class BindingChanges(Changes):
    """What can be changed of a binding."""

    read_only = frozenset(
        {"host", "vif_type", "vif_details", "status", "vif_status", "migration_id", "project_id"}
    )
    profile: Profile | None = None
    vnic_type: VnicType | None = None


Limit = Annotated[int, Field(strict=True, ge=UNLIMITED, le=2**31 - 1)]


class QuotaChanges(Changes):
    """What can be changed of how much a project may have; -1 is no limit."""

    network: Limit = UNLIMITED
    subnet: Limit = UNLIMITED
    port: Limit = UNLIMITED


class AgentChanges(Changes):
    """What can be changed of an agent; one whose `admin_state_up` is false binds no ports."""

    read_only = frozenset(
        {
            "id",
            "agent_type",
            "binary",
            "topic",
            "host",
            "alive",
            "configurations",
            "created_at",
            "started_at",
            "heartbeat_timestamp",
        }
    )
    admin_state_up: bool = True
    description: Name | None = None


class SwitchRequest(Body):
    """Switch all ports of this server to their bindings on this host."""

    device_id: Host
    host: Host
