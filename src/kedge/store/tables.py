"""The tables.

What must hold whatever the code does is a constraint here: one binding per port and host, one ACTIVE binding
per port, one MAC address per network, one network per VLAN, one unfinished migration per server.

`number` columns keep the order in which rows were made; `id` columns are what the outside knows.
"""

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Index,
    String,
    Text,
    UniqueConstraint,
    false,
    text,
    true,
)
from sqlalchemy.orm import Mapped, mapped_column, relationship

from kedge.model.domain import VifState
from kedge.model.network import BindingStatus, NetworkType, VifType

from .columns import UUID, Base, UtcDateTime, one_of


class ServerStatus(StrEnum):
    """A server's state, in Nova's words."""

    BUILD = "BUILD"
    ACTIVE = "ACTIVE"
    PAUSED = "PAUSED"
    MIGRATING = "MIGRATING"
    SHUTOFF = "SHUTOFF"
    ERROR = "ERROR"
    UNKNOWN = "UNKNOWN"


def _unique_where(name: str, *columns: str, where: str) -> Index:
    return Index(name, *columns, unique=True, sqlite_where=text(where), postgresql_where=text(where))


class NetworkRow(Base):
    """A network with its one segment. A VLAN, or the untagged frames, of a physical network make one network.

    `shared`: every project may put ports on it.
    """

    __tablename__ = "networks"
    __table_args__ = (
        one_of("network_type", NetworkType),
        CheckConstraint("(network_type = 'vlan') = (segmentation_id IS NOT NULL)", name="vlan_has_id"),
        CheckConstraint("segmentation_id BETWEEN 1 AND 4094", name="segmentation_id"),
        CheckConstraint("mtu BETWEEN 68 AND 65535", name="mtu"),
        _unique_where(
            "uq_networks_vlan", "physical_network", "segmentation_id", where="network_type = 'vlan'"
        ),
        _unique_where("uq_networks_flat", "physical_network", where="network_type = 'flat'"),
    )

    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    id: Mapped[str] = mapped_column(UUID, unique=True)
    name: Mapped[str] = mapped_column(String(255), default="")
    description: Mapped[str] = mapped_column(String(255), default="")
    project_id: Mapped[str] = mapped_column(String(255), default="")
    admin_state_up: Mapped[bool] = mapped_column(default=True)
    network_type: Mapped[str] = mapped_column(String(16))
    physical_network: Mapped[str] = mapped_column(String(64))
    segmentation_id: Mapped[int | None]
    mtu: Mapped[int] = mapped_column(default=1500)
    shared: Mapped[bool] = mapped_column(default=False, server_default=false())
    tags: Mapped[list[str]] = mapped_column(default=list, server_default="[]")
    revision_number: Mapped[int] = mapped_column(default=1)
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]

    subnets: Mapped[list["SubnetRow"]] = relationship(
        back_populates="network",
        order_by="SubnetRow.number",
        cascade="all, delete-orphan",
        passive_deletes=True,
    )


class SubnetRow(Base):
    """A block of addresses of a network, from which its ports get theirs.

    `allocation_pools` are the ranges that addresses are chosen from, as `{"start": …, "end": …}`; None means all
    of the block but its gateway. `subnetpool_id` says where the block is from, if its maker did not name it.
    """

    __tablename__ = "subnets"
    __table_args__ = (CheckConstraint("ip_version IN (4, 6)", name="ip_version"),)

    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    id: Mapped[str] = mapped_column(UUID, unique=True)
    network_id: Mapped[str] = mapped_column(ForeignKey("networks.id", ondelete="CASCADE"), index=True)
    name: Mapped[str] = mapped_column(String(255), default="")
    description: Mapped[str] = mapped_column(String(255), default="")
    project_id: Mapped[str] = mapped_column(String(255), default="")
    ip_version: Mapped[int]
    cidr: Mapped[str] = mapped_column(String(64))
    gateway_ip: Mapped[str | None] = mapped_column(String(64))
    enable_dhcp: Mapped[bool] = mapped_column(default=False)
    ipv6_ra_mode: Mapped[str | None] = mapped_column(String(16))
    ipv6_address_mode: Mapped[str | None] = mapped_column(String(16))
    subnetpool_id: Mapped[str | None] = mapped_column(String(36), index=True)
    allocation_pools: Mapped[list[Any] | None]
    host_routes: Mapped[list[Any]] = mapped_column(default=list, server_default="[]")
    dns_nameservers: Mapped[list[str]] = mapped_column(default=list, server_default="[]")
    tags: Mapped[list[str]] = mapped_column(default=list, server_default="[]")
    revision_number: Mapped[int] = mapped_column(default=0)
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]

    network: Mapped[NetworkRow] = relationship(back_populates="subnets")


class SubnetPoolRow(Base):
    """Prefixes that subnets are given their blocks from; which are taken, the subnets say."""

    __tablename__ = "subnet_pools"
    __table_args__ = (
        CheckConstraint("ip_version IN (4, 6)", name="ip_version"),
        _unique_where("uq_subnet_pools_default", "ip_version", where="is_default"),
    )

    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    id: Mapped[str] = mapped_column(UUID, unique=True)
    name: Mapped[str] = mapped_column(String(255))
    description: Mapped[str] = mapped_column(String(255), default="")
    project_id: Mapped[str] = mapped_column(String(255), default="")
    ip_version: Mapped[int]
    prefixes: Mapped[list[str]]
    min_prefixlen: Mapped[int]
    max_prefixlen: Mapped[int]
    default_prefixlen: Mapped[int]
    default_quota: Mapped[int | None]
    shared: Mapped[bool] = mapped_column(default=False)
    is_default: Mapped[bool] = mapped_column(default=False)
    tags: Mapped[list[str]] = mapped_column(default=list)
    revision_number: Mapped[int] = mapped_column(default=0)
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class PortRow(Base):
    """A port. Its status is not stored: it is that of the device of its ACTIVE binding.

    `was_unbound`: a binding was activated while the port had no ACTIVE one.
    """

    __tablename__ = "ports"
    __table_args__ = (UniqueConstraint("network_id", "mac_address"),)

    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    id: Mapped[str] = mapped_column(UUID, unique=True)
    network_id: Mapped[str] = mapped_column(ForeignKey("networks.id"))
    name: Mapped[str] = mapped_column(String(255), default="")
    description: Mapped[str] = mapped_column(String(255), default="")
    project_id: Mapped[str] = mapped_column(String(255), default="")
    mac_address: Mapped[str] = mapped_column(String(17))
    admin_state_up: Mapped[bool] = mapped_column(default=True)
    device_id: Mapped[str] = mapped_column(String(255), default="", index=True)
    device_owner: Mapped[str] = mapped_column(String(255), default="")
    vnic_type: Mapped[str] = mapped_column(String(64), default="normal")
    was_unbound: Mapped[bool] = mapped_column(default=False, server_default=false())
    profile: Mapped[dict[str, Any]] = mapped_column(default=dict)  # given to the first binding
    allowed_address_pairs: Mapped[list[Any]] = mapped_column(default=list)
    tags: Mapped[list[str]] = mapped_column(default=list)
    revision_number: Mapped[int] = mapped_column(default=1)
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]

    network: Mapped[NetworkRow] = relationship()
    addresses: Mapped[list["AddressRow"]] = relationship(
        order_by="AddressRow.number", cascade="all, delete-orphan", passive_deletes=True
    )
    bindings: Mapped[list["BindingRow"]] = relationship(
        back_populates="port", order_by="BindingRow.host", cascade="all, delete-orphan", passive_deletes=True
    )


class AddressRow(Base):
    """A fixed IP address of a port. One that was found on an adopted server may lie in no known subnet."""

    __tablename__ = "addresses"
    __table_args__ = (UniqueConstraint("network_id", "ip_address"), Index(None, "subnet_id", "number"))

    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    port_id: Mapped[str] = mapped_column(ForeignKey("ports.id", ondelete="CASCADE"), index=True)
    network_id: Mapped[str] = mapped_column(ForeignKey("networks.id"))
    subnet_id: Mapped[str | None] = mapped_column(ForeignKey("subnets.id"))
    ip_address: Mapped[str] = mapped_column(String(64))


class BindingRow(Base):
    """How a port is attached to a host. A host that never reported may be named by a failed binding.

    `vif_type` is not limited here, so that a new mechanism driver needs no change of the schema.
    """

    __tablename__ = "bindings"
    __table_args__ = (
        one_of("status", BindingStatus),
        one_of("vif_state", VifState),
        CheckConstraint(
            f"status <> '{BindingStatus.ACTIVE}' OR vif_type <> '{VifType.UNBOUND}'", name="active_bound"
        ),
        _unique_where("uq_bindings_active", "port_id", where="status = 'ACTIVE'"),
    )

    port_id: Mapped[str] = mapped_column(ForeignKey("ports.id", ondelete="CASCADE"), primary_key=True)
    host: Mapped[str] = mapped_column(String(255), primary_key=True, index=True)
    status: Mapped[str] = mapped_column(String(16))
    vif_type: Mapped[str] = mapped_column(String(64))
    vif_details: Mapped[dict[str, Any]] = mapped_column(default=dict)
    vnic_type: Mapped[str] = mapped_column(String(64), default="normal")
    profile: Mapped[dict[str, Any]] = mapped_column(default=dict)
    driver: Mapped[str | None] = mapped_column(String(64))
    migration_id: Mapped[str | None] = mapped_column(UUID)
    vif_state: Mapped[str] = mapped_column(String(16), default=VifState.ABSENT.value)
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]

    port: Mapped[PortRow] = relationship(back_populates="bindings")


class QuotaRow(Base):
    """How many networks, subnets or ports a project may have, if not as many as any; -1 is no limit."""

    __tablename__ = "quotas"
    __table_args__ = (
        CheckConstraint("resource IN ('network', 'subnet', 'port')", name="resource"),
        CheckConstraint('"limit" >= -1', name="limit"),
    )

    project_id: Mapped[str] = mapped_column(String(255), primary_key=True)
    resource: Mapped[str] = mapped_column(String(16), primary_key=True)
    limit: Mapped[int]


class HostRow(Base):
    """A hypervisor host, as its agent reported it last. `running` lists the UUIDs of domains that run there.

    `forced_down`: an operator said that it is off.
    """

    __tablename__ = "hosts"

    name: Mapped[str] = mapped_column(String(255), primary_key=True)
    url: Mapped[str] = mapped_column(String(255), default="")
    libvirt_uri: Mapped[str] = mapped_column(String(255), default="")
    migrate_uri: Mapped[str] = mapped_column(String(255), default="")
    migration_network: Mapped[str] = mapped_column(String(63), default="", server_default=text("''"))
    libvirt_version: Mapped[int] = mapped_column(default=0)
    running: Mapped[list[str]] = mapped_column(default=list)
    forced_down: Mapped[bool] = mapped_column(default=False, server_default=false())
    created_at: Mapped[datetime]
    last_seen: Mapped[datetime]

    agents: Mapped[list["AgentRow"]] = relationship(
        order_by="AgentRow.position", cascade="all, delete-orphan", passive_deletes=True
    )


class AgentRow(Base):
    """One backend of a host. `backend` is the `HostBackend`; `position` its place in the host's order."""

    __tablename__ = "agents"
    __table_args__ = (UniqueConstraint("host", "driver"),)

    id: Mapped[str] = mapped_column(UUID, primary_key=True)
    host: Mapped[str] = mapped_column(ForeignKey("hosts.name", ondelete="CASCADE"))
    driver: Mapped[str] = mapped_column(String(64))
    position: Mapped[int]
    backend: Mapped[dict[str, Any]]
    admin_state_up: Mapped[bool] = mapped_column(default=True, server_default=true())
    description: Mapped[str | None] = mapped_column(String(255))
    created_at: Mapped[datetime]
    started_at: Mapped[datetime]


class HostSettingsRow(Base):
    """What an operator has said of a host; a host without a row has what is usual.

    `disabled` is why it receives no server; `limits` is a `HostLimits`.
    """

    __tablename__ = "host_settings"

    host: Mapped[str] = mapped_column(ForeignKey("hosts.name", ondelete="CASCADE"), primary_key=True)
    labels: Mapped[dict[str, Any]] = mapped_column(default=dict)
    disabled: Mapped[str | None] = mapped_column(String(255))
    limits: Mapped[dict[str, Any]] = mapped_column(default=dict)


class EventRow(Base):
    """Something that happened to a port, for those who wait for it: Nova, and readers of the event stream.

    Written in the transaction that made it so. It names what may be gone by the time it is read, so it refers
    to no other row. `sent_at` is when Nova took it.
    """

    __tablename__ = "events"
    __table_args__ = (
        Index(
            "ix_events_unsent",
            "number",
            sqlite_where=text("sent_at IS NULL"),
            postgresql_where=text("sent_at IS NULL"),
        ),
        {"sqlite_autoincrement": True},
    )

    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    name: Mapped[str] = mapped_column(String(64))
    server_id: Mapped[str] = mapped_column(String(255), default="")
    port_id: Mapped[str] = mapped_column(String(36), default="")
    host: Mapped[str] = mapped_column(String(255), default="")
    status: Mapped[str] = mapped_column(String(16), default="completed")
    at: Mapped[datetime]
    sent_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class ServerRow(Base):
    """A server. `xml` is the domain that it was made from or adopted with; `demand` what it takes, as was seen last."""

    __tablename__ = "servers"
    __table_args__ = (one_of("status", ServerStatus),)

    id: Mapped[str] = mapped_column(UUID, primary_key=True)
    name: Mapped[str] = mapped_column(String(255), index=True)
    host: Mapped[str] = mapped_column(String(255), index=True)
    status: Mapped[str] = mapped_column(String(16), default=ServerStatus.BUILD.value)
    xml: Mapped[str | None] = mapped_column(Text)
    labels: Mapped[dict[str, Any]] = mapped_column(default=dict, server_default="{}")
    demand: Mapped[dict[str, Any]] = mapped_column(default=dict, server_default="{}")
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class MigrationRow(Base):
    """A migration: what is wanted, who drives it, and what was measured. Times are in ms.

    `candidates` are the hosts to try next when it fails, and `next_id` is the migration that then does so. `demand` is
    promised to it on its destination until it has ended, and `rooms` is what the candidates had when they were asked.
    """

    __tablename__ = "migrations"
    __table_args__ = (
        _unique_where("uq_migrations_unfinished", "server_id", where="finished_at IS NULL"),
        CheckConstraint("source <> destination", name="moves"),
        {"sqlite_autoincrement": True},
    )

    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    id: Mapped[str] = mapped_column(UUID, unique=True)
    server_id: Mapped[str] = mapped_column(ForeignKey("servers.id", ondelete="CASCADE"), index=True)
    source: Mapped[str] = mapped_column(String(255))
    destination: Mapped[str] = mapped_column(String(255), index=True)
    status: Mapped[str] = mapped_column(String(32))
    options: Mapped[dict[str, Any]] = mapped_column(default=dict)
    abort_requested: Mapped[bool] = mapped_column(default=False)
    epoch: Mapped[int] = mapped_column(default=0, index=True)
    attempts: Mapped[int] = mapped_column(default=0)
    candidates: Mapped[list[str]] = mapped_column(default=list, server_default="[]")
    next_id: Mapped[str | None] = mapped_column(UUID)
    demand: Mapped[dict[str, Any]] = mapped_column(default=dict, server_default="{}")
    rooms: Mapped[dict[str, Any]] = mapped_column(default=dict, server_default="{}")
    error: Mapped[str | None] = mapped_column(Text)
    total_ms: Mapped[float | None]
    guest_downtime_ms: Mapped[float | None]
    network_blackout_ms: Mapped[float | None]
    network_blackout_between: Mapped[str | None] = mapped_column(String(16))
    progress: Mapped[dict[str, Any] | None]  # libvirt's job statistics as they were seen last
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    finished_at: Mapped[datetime | None] = mapped_column(UtcDateTime)

    events: Mapped[list["MigrationEventRow"]] = relationship(
        order_by="MigrationEventRow.seq", cascade="all, delete-orphan", passive_deletes=True
    )


class MigrationEventRow(Base):
    """One entry of a migration's timeline. `at_ns` is in ns of the real-time clock of the host it happened on."""

    __tablename__ = "migration_events"

    migration_id: Mapped[str] = mapped_column(
        ForeignKey("migrations.id", ondelete="CASCADE"), primary_key=True
    )
    seq: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    phase: Mapped[str] = mapped_column(String(64))
    at_ns: Mapped[int] = mapped_column(BigInteger)
    detail: Mapped[dict[str, Any]] = mapped_column(default=dict)


class OperationRow(Base):
    """An operation: what is wanted of many servers. `host` is the one it drains or restores, "" without.

    `targets` are the hosts that servers may go to; without, any. `levelling` is a rebalance's, `transition` what is
    wanted of the hosts of one. `prediction` is what was simulated at its begin, `policy` the one of all its migrations.
    """

    __tablename__ = "operations"
    __table_args__ = (
        _unique_where("uq_operations_host", "host", where="finished_at IS NULL AND host <> ''"),
        {"sqlite_autoincrement": True},
    )

    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    id: Mapped[str] = mapped_column(UUID, unique=True)
    kind: Mapped[str] = mapped_column(String(16))
    host: Mapped[str] = mapped_column(String(255), default="")
    targets: Mapped[list[str]] = mapped_column(default=list)
    policy: Mapped[str | None] = mapped_column(String(63))
    limits: Mapped[dict[str, Any]] = mapped_column(default=dict)
    paused: Mapped[bool] = mapped_column(default=False)
    abort: Mapped[str | None] = mapped_column(String(16))
    outcome: Mapped[str | None] = mapped_column(String(16))
    prediction: Mapped[dict[str, Any] | None]
    levelling: Mapped[dict[str, Any] | None]
    transition: Mapped[dict[str, Any] | None]
    epoch: Mapped[int] = mapped_column(default=0)
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    finished_at: Mapped[datetime | None] = mapped_column(UtcDateTime)

    items: Mapped[list["OperationItemRow"]] = relationship(
        order_by="OperationItemRow.server_id", cascade="all, delete-orphan", passive_deletes=True
    )
    hosts: Mapped[list["OperationHostRow"]] = relationship(
        order_by="OperationHostRow.position", cascade="all, delete-orphan", passive_deletes=True
    )


class OperationHostRow(Base):
    """A host of a transition: the stage that it has reached, and what came of each before. One is `open` for each host.

    `in_place`: its servers stay, and are rewired. `before` has the backends that it had when its turn came, `command`
    the run of its command, `log` what happened.
    """

    __tablename__ = "operation_hosts"
    __table_args__ = (_unique_where("uq_operation_hosts_open", "host", where="open"),)

    operation_id: Mapped[str] = mapped_column(
        ForeignKey("operations.id", ondelete="CASCADE"), primary_key=True
    )
    host: Mapped[str] = mapped_column(String(255), primary_key=True)
    position: Mapped[int]
    in_place: Mapped[bool] = mapped_column(default=False, server_default=false())
    stage: Mapped[str] = mapped_column(String(16))
    trouble: Mapped[str | None] = mapped_column(Text)
    why: Mapped[str] = mapped_column(Text, default="")
    before: Mapped[list[dict[str, Any]]] = mapped_column(default=list)
    command: Mapped[dict[str, Any] | None]
    log: Mapped[list[dict[str, Any]]] = mapped_column(default=list)
    open: Mapped[bool] = mapped_column(default=True)


class OperationItemRow(Base):
    """A server of an operation. An unfinished operation has its servers for itself: they are `open`.

    It refers to no server, which may be deleted before the operation ends. `migration_id` is the migration that the
    operation began and has not looked at the end of, `rewiring_id` the last rewiring that it began. `hosts` are where
    this server is to go, if not to any target; `planned` is the host on which it is promised room meanwhile.
    """

    __tablename__ = "operation_items"
    __table_args__ = (_unique_where("uq_operation_items_open", "server_id", where="open"),)

    operation_id: Mapped[str] = mapped_column(
        ForeignKey("operations.id", ondelete="CASCADE"), primary_key=True
    )
    server_id: Mapped[str] = mapped_column(UUID, primary_key=True)
    name: Mapped[str] = mapped_column(String(255))
    source: Mapped[str] = mapped_column(String(255))
    hosts: Mapped[list[str]] = mapped_column(default=list, server_default="[]")
    planned: Mapped[str | None] = mapped_column(String(255), index=True)
    tried: Mapped[list[dict[str, Any]]] = mapped_column(default=list)
    left: Mapped[str | None] = mapped_column(Text)
    migration_id: Mapped[str | None] = mapped_column(UUID)
    migrations: Mapped[list[str]] = mapped_column(default=list)
    rewiring_id: Mapped[str | None] = mapped_column(UUID)
    state: Mapped[str] = mapped_column(String(16), default="waiting")
    why: Mapped[list[str]] = mapped_column(default=list)
    open: Mapped[bool] = mapped_column(default=True)


class RewiringRow(Base):
    """A rewiring: what is wanted, who drives it, and what is known to be done.

    `ports` has a `RewiredPort` for each port: how it was and is to be wired. `committed`: its bindings say the latter.
    `prepared` and `left`: the agent has said that it made the new sides ready, and that it removed the others. `tries`
    counts orders that failed once there was only one way to go.
    """

    __tablename__ = "rewirings"
    __table_args__ = (
        _unique_where("uq_rewirings_unfinished", "server_id", where="finished_at IS NULL"),
        {"sqlite_autoincrement": True},
    )

    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    id: Mapped[str] = mapped_column(UUID, unique=True)
    server_id: Mapped[str] = mapped_column(ForeignKey("servers.id", ondelete="CASCADE"), index=True)
    host: Mapped[str] = mapped_column(String(255), index=True)
    backend: Mapped[str] = mapped_column(String(64))
    ports: Mapped[list[dict[str, Any]]] = mapped_column(default=list)
    abort_requested: Mapped[bool] = mapped_column(default=False)
    committed: Mapped[bool] = mapped_column(default=False)
    prepared: Mapped[bool] = mapped_column(default=False)
    left: Mapped[bool] = mapped_column(default=False)
    tries: Mapped[int] = mapped_column(default=0)
    epoch: Mapped[int] = mapped_column(default=0)
    error: Mapped[str | None] = mapped_column(Text)
    outcome: Mapped[str | None] = mapped_column(String(16))
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    finished_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
