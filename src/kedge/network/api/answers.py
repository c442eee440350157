"""What answers look like, for the OpenAPI document and its readers.

Answers are not put through these models when they are sent, which would cost more than making them; a test
holds the one against the other.
"""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from .fields import Ipv6Mode

_ID = "e710ba1c-3175-4ede-97f9-c996d79253a0"
_NETWORK = "1747ecff-8340-4f86-8565-2b34e04e41bf"
_SUBNET = "4879d81f-fb2b-4c0f-ad2d-5adf16ae0c0f"
_TIME = "2026-11-23T12:00:00Z"
_TAP = {
    "connectivity": "l2",
    "port_filter": True,
    "ovs_hybrid_plug": False,
    "ovs_create_tap": True,
    "datapath_type": "system",
    "bridge_name": "br-int",
}
BindingState = Literal["ACTIVE", "INACTIVE"]
PortState = Literal["ACTIVE", "BUILD", "DOWN"]


def _any_may_be_left_out(schema: dict[str, Any]) -> None:
    schema.pop("required", None)  # `fields` chooses


class Shown(BaseModel):
    """A resource, all of it or those attributes that `fields` names."""

    model_config = ConfigDict(extra="forbid", json_schema_extra=_any_may_be_left_out)


class Answer(BaseModel):
    """A whole answer."""

    model_config = ConfigDict(extra="forbid")


class Standard(Shown):
    """What networks, subnets and ports have alike."""

    id: str = Field(examples=[_ID], json_schema_extra={"format": "uuid"})
    name: str = Field(examples=["blue"])
    description: str = Field(examples=[""])
    project_id: str = Field(examples=["p1"])
    tenant_id: str = Field(description="The same as `project_id`.", examples=["p1"])
    tags: list[str] = Field(examples=[["lab"]])
    created_at: str = Field(examples=[_TIME], json_schema_extra={"format": "date-time"})
    updated_at: str = Field(examples=[_TIME], json_schema_extra={"format": "date-time"})
    revision_number: int = Field(description="Grows with every change.", examples=[3])


class Network(Standard):
    """A network."""

    admin_state_up: bool
    mtu: int = Field(description="Bytes.", examples=[1500])
    status: Literal["ACTIVE"]
    subnets: list[str] = Field(examples=[[_SUBNET]])
    shared: bool = Field(description="Whether every project may put ports on it.")
    router_external: Literal[False] = Field(alias="router:external")
    network_type: Literal["flat", "vlan"] = Field(alias="provider:network_type", examples=["vlan"])
    physical_network: str = Field(alias="provider:physical_network", examples=["physnet1"])
    segmentation_id: int | None = Field(
        alias="provider:segmentation_id", description="The VLAN.", examples=[100]
    )
    availability_zone_hints: list[str] = Field(examples=[[]])
    availability_zones: list[str] = Field(examples=[[]])
    ipv4_address_scope: None
    ipv6_address_scope: None


class Pool(Answer):
    """A range of addresses that ports are given."""

    start: str = Field(examples=["10.100.0.2"])
    end: str = Field(examples=["10.100.255.254"])


class Route(Answer):
    """A route for a subnet's servers."""

    destination: str = Field(examples=["192.0.2.0/24"])
    nexthop: str = Field(examples=["10.100.0.254"])


class Subnet(Standard):
    """A subnet."""

    network_id: str = Field(examples=[_NETWORK])
    ip_version: Literal[4, 6]
    subnetpool_id: str | None = Field(
        description="The pool that gave the block, or prefix_delegation if a router is to be told it; null if the "
        "subnet's maker named it.",
        examples=[None],
    )
    enable_dhcp: bool = Field(description="Kept, and nothing more: Kedge serves no DHCP.", examples=[True])
    ipv6_ra_mode: Ipv6Mode = Field(
        description="What a router advertises that is somebody else's; Kedge advertises nothing.",
        examples=[None],
    )
    ipv6_address_mode: Ipv6Mode = Field(
        description="With slaac or dhcpv6-stateless as this or as ipv6_ra_mode, guests make addresses themselves.",
        examples=[None],
    )
    gateway_ip: str | None = Field(examples=["10.100.0.1"])
    cidr: str = Field(examples=["10.100.0.0/16"])
    allocation_pools: list[Pool]
    host_routes: list[Route]
    dns_nameservers: list[str] = Field(examples=[["192.0.2.53"]])
    router_external: Literal[False] = Field(alias="router:external")
    service_types: list[str] = Field(examples=[[]])


class SubnetPool(Standard):
    """A subnet pool. Lengths of prefixes are text, as in Neutron."""

    prefixes: list[str] = Field(examples=[["10.0.0.0/8"]])
    ip_version: Literal[4, 6]
    min_prefixlen: str = Field(description="The largest blocks that it gives.", examples=["8"])
    max_prefixlen: str = Field(description="The smallest blocks that it gives.", examples=["32"])
    default_prefixlen: str = Field(examples=["24"])
    default_quota: int | None = Field(
        description="How much of it a project may have, in addresses, or /64 of IPv6; null or 0 is no limit.",
        examples=[None],
    )
    is_default: bool = Field(
        description="Whether it gives what names no pool, with `use_default_subnetpool`."
    )
    shared: bool = Field(description="Whether every project may take blocks from it.")
    address_scope_id: None


class FixedIpShown(Answer):
    """An address of a port; one that was found on an adopted server may lie in no subnet."""

    subnet_id: str | None = Field(examples=[_SUBNET])
    ip_address: str = Field(examples=["10.100.0.2"])


class Port(Standard):
    """A port, with its ACTIVE binding."""

    network_id: str = Field(examples=[_NETWORK])
    mac_address: str = Field(examples=["fa:16:3e:47:58:20"])
    admin_state_up: bool
    status: PortState = Field(description="The state of the device of its ACTIVE binding.")
    device_id: str = Field(description="The server's UUID.", examples=["vm-a"])
    device_owner: str = Field(examples=["compute:nova"])
    fixed_ips: list[FixedIpShown]
    allowed_address_pairs: list[dict[str, str]] = Field(examples=[[]])
    extra_dhcp_opts: list[Any] = Field(examples=[[]])
    security_groups: list[str] = Field(examples=[[]])
    vnic_type: str = Field(alias="binding:vnic_type", examples=["normal"])
    profile: dict[str, Any] = Field(alias="binding:profile", examples=[{}])
    host_id: str = Field(alias="binding:host_id", examples=["h1"])
    vif_type: str = Field(alias="binding:vif_type", examples=["ovs"])
    vif_details: dict[str, Any] = Field(
        alias="binding:vif_details", examples=[{**_TAP, "bound_drivers": {"0": "openvswitch"}}]
    )


class Binding(Shown):
    """How a port is, or would be, attached to a host."""

    host: str = Field(examples=["h2"])
    vif_type: str = Field(examples=["ovs"])
    vnic_type: str = Field(examples=["normal"])
    status: BindingState = Field(examples=["INACTIVE"])
    profile: dict[str, Any] = Field(examples=[{}])
    vif_details: dict[str, Any] = Field(examples=[_TAP])
    migration_id: str | None = Field(
        description="The migration that an INACTIVE binding belongs to.", examples=[None]
    )
    vif_status: PortState = Field(description="The state of its device on its host.", examples=["BUILD"])


class SwitchedBinding(Binding):
    """A binding, with its port."""

    port_id: str = Field(examples=[_ID])


class Agent(Shown):
    """An agent: one backend of a host."""

    id: str = Field(examples=[_ID])
    agent_type: str = Field(examples=["Open vSwitch agent"])
    binary: str = Field(examples=["neutron-openvswitch-agent"])
    topic: str = Field(examples=["N/A"])
    host: str = Field(examples=["h1"])
    admin_state_up: bool = Field(description="If false, nothing new is bound by it.")
    availability_zone: None
    created_at: str = Field(examples=["2026-11-23 12:00:00"])
    started_at: str = Field(examples=["2026-11-23 12:00:00"])
    heartbeat_timestamp: str = Field(examples=["2026-11-23 12:00:00"])
    description: str | None
    resources_synced: None
    alive: bool
    configurations: dict[str, Any] = Field(examples=[{"bridge_mappings": {"physnet1": "br-physnet1"}}])


class Link(Answer):
    """Where something is."""

    rel: str = Field(examples=["self"])
    href: str = Field(examples=["http://127.0.0.1:9696/network/v2.0/"])


class Version(Answer):
    """A version of the API."""

    id: str = Field(examples=["v2.0"])
    status: str = Field(examples=["CURRENT"])
    links: list[Link]


class Resource(Answer):
    """A kind of resource."""

    name: str = Field(examples=["port"])
    collection: str = Field(examples=["ports"])
    links: list[Link]


class Extension(Answer):
    """A part of the API that not every network service has."""

    name: str = Field(examples=["Port Bindings Extended"])
    alias: str = Field(examples=["binding-extended"])
    description: str
    updated: str = Field(examples=["2026-01-01T00:00:00-00:00"])
    links: list[Link]


class VersionList(Answer):
    """All versions."""

    versions: list[Version]


class ResourceList(Answer):
    """All kinds of resources."""

    resources: list[Resource]


class ExtensionList(Answer):
    """All extensions."""

    extensions: list[Extension]


class ExtensionAnswer(Answer):
    """One extension."""

    extension: Extension


class NetworkAnswer(Answer):
    """One network."""

    network: Network


class NetworkList(Answer):
    """Networks."""

    networks: list[Network]
    networks_links: list[Link] = Field(default_factory=list, description="The next and the previous page.")


class SubnetAnswer(Answer):
    """One subnet."""

    subnet: Subnet


class SubnetList(Answer):
    """Subnets."""

    subnets: list[Subnet]
    subnets_links: list[Link] = Field(default_factory=list, description="The next and the previous page.")


class SubnetPoolAnswer(Answer):
    """One subnet pool."""

    subnetpool: SubnetPool


class SubnetPoolList(Answer):
    """Subnet pools."""

    subnetpools: list[SubnetPool]
    subnetpools_links: list[Link] = Field(default_factory=list, description="The next and the previous page.")


class PortAnswer(Answer):
    """One port."""

    port: Port


class PortList(Answer):
    """Ports."""

    ports: list[Port]
    ports_links: list[Link] = Field(default_factory=list, description="The next and the previous page.")


class BindingAnswer(Answer):
    """One binding."""

    binding: Binding


class BindingList(Answer):
    """The bindings of a port."""

    bindings: list[Binding]
    bindings_links: list[Link] = Field(default_factory=list, description="The next and the previous page.")


class SwitchAnswer(Answer):
    """The bindings that are ACTIVE now, one for each port of the server."""

    bindings: list[SwitchedBinding]


class AgentAnswer(Answer):
    """One agent."""

    agent: Agent


class AgentList(Answer):
    """Agents."""

    agents: list[Agent]
    agents_links: list[Link] = Field(default_factory=list, description="The next and the previous page.")


class Quota(Answer):
    """How much a project may have; -1 is as much as it likes."""

    network: int = Field(ge=-1, examples=[10])
    subnet: int = Field(ge=-1, examples=[-1])
    port: int = Field(ge=-1, examples=[-1])


class ProjectQuota(Quota):
    """A quota that is a project's own."""

    project_id: str = Field(examples=["p1"])
    tenant_id: str = Field(examples=["p1"])


class QuotaAnswer(Answer):
    """One project's quota."""

    quota: Quota


class QuotaList(Answer):
    """The projects with quotas of their own."""

    quotas: list[ProjectQuota]


class Usage(Answer):
    """How much of something a project may have, and has."""

    limit: int = Field(ge=-1, examples=[-1])
    used: int = Field(examples=[2])
    reserved: Literal[0]


class QuotaDetails(Answer):
    """How much a project may have, and has."""

    network: Usage
    subnet: Usage
    port: Usage


class QuotaDetailsAnswer(Answer):
    """One project's quota, and what it has."""

    quota: QuotaDetails


class TagList(Answer):
    """The tags of a resource."""

    tags: list[str] = Field(examples=[["lab", "blue"]])


class NeutronError(Answer):
    """What is wrong, in Neutron's form."""

    type: str = Field(examples=["PortNotFound"])
    message: str = Field(examples=[f"Port {_ID} could not be found."])
    detail: str = Field(examples=[""])


class ErrorAnswer(Answer):
    """An error under /network."""

    NeutronError: NeutronError
