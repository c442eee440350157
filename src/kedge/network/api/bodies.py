"""The bodies of requests. Neutron's rule: an attribute that is not known is refused, not ignored."""

from typing import Annotated, Any, Literal

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, StringConstraints

Name = Annotated[str, StringConstraints(max_length=255)]
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


class Body(BaseModel):
    """A part of a request's body."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    def given(self, *names: str) -> dict[str, Any]:
        """Those of the named attributes that the caller gave, even if as null."""
        return {name: getattr(self, name) for name in names if name in self.model_fields_set}


class NetworkChanges(Body):
    """What can be changed of a network."""

    name: Name = ""
    description: Name = ""
    admin_state_up: bool = True


class NewNetwork(NetworkChanges):
    """A network to be made."""

    project_id: Name = Field("", validation_alias=AliasChoices("project_id", "tenant_id"))
    shared: Literal[False] = False
    router_external: Literal[False] = Field(False, alias="router:external")
    mtu: int = 1500
    network_type: Literal["flat", "vlan"] = Field(alias="provider:network_type")
    physical_network: Name = Field(alias="provider:physical_network")
    segmentation_id: int | None = Field(None, alias="provider:segmentation_id")


class NewSubnet(Body):
    """A subnet to be made. `gateway_ip` null means none; left out, the first address."""

    network_id: str
    cidr: str
    ip_version: Literal[4, 6] | None = None
    gateway_ip: str | None = None
    name: Name = ""
    description: Name = ""
    enable_dhcp: bool = False
    project_id: Name = Field("", validation_alias=AliasChoices("project_id", "tenant_id"))


class FixedIp(Body):
    """An address that a port is to have."""

    ip_address: str | None = None
    subnet_id: str | None = None


class AddressPair(Body):
    """An address that the server may use beside its own."""

    ip_address: str
    mac_address: str | None = None


class PortChanges(Body):
    """What can be changed of a port."""

    name: Name = ""
    description: Name = ""
    admin_state_up: bool = True
    device_id: Name = ""
    device_owner: Name = ""
    mac_address: str | None = None
    fixed_ips: list[FixedIp] | None = None
    allowed_address_pairs: list[AddressPair] = Field(default_factory=list)
    host_id: str | None = Field(None, alias="binding:host_id")
    profile: dict[str, Any] | None = Field(None, alias="binding:profile")
    vnic_type: VnicType = Field("normal", alias="binding:vnic_type")


class NewPort(PortChanges):
    """A port to be made."""

    network_id: str
    project_id: Name = Field("", validation_alias=AliasChoices("project_id", "tenant_id"))
    tags: list[str] = Field(default_factory=list)


class NewBinding(Body):
    """A binding to be made."""

    host: Annotated[str, StringConstraints(min_length=1, max_length=255)]
    vnic_type: VnicType | None = None
    profile: dict[str, Any] | None = None
    project_id: Name = ""


class BindingChanges(Body):
    """What can be changed of a binding. The profile is merged; a key with the value null is removed."""

    profile: dict[str, Any] | None = None


class NewNetworkBody(Body):
    """`{"network": …}` of a creation."""

    network: NewNetwork


class NetworkChangesBody(Body):
    """`{"network": …}` of a change."""

    network: NetworkChanges


class NewSubnetBody(Body):
    """`{"subnet": …}` of a creation."""

    subnet: NewSubnet


class NewPortBody(Body):
    """`{"port": …}` of a creation."""

    port: NewPort


class PortChangesBody(Body):
    """`{"port": …}` of a change."""

    port: PortChanges


class NewBindingBody(Body):
    """`{"binding": …}` of a creation."""

    binding: NewBinding


class BindingChangesBody(Body):
    """`{"binding": …}` of a change."""

    binding: BindingChanges
