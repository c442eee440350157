"""The control plane's configuration, and the TOML file that it comes from.

state_dir = "/var/lib/kedge"
database = "postgresql+psycopg://kedge@db/kedge"
listen = "192.0.2.1:9696"
agents = "192.0.2.1:9798"

[network]
service = "neutron"        # Kedge's own, "kedge", without
cloud = "mycloud"          # a name in clouds.yaml

[auth]
strategy = "http_basic"
users = "/etc/kedge/users"  # `kedge users add` makes it

[events]
nova_cloud = "mycloud"

[policies.gentle]          # `kedge server label web1 policy=gentle`, or `kedge migrate web1 --policy gentle`
bandwidth_mib = 200
downtime_ceiling_ms = 300
schedule = [{after = 4, do = "downtime", downtime_ms = 500}, {after = 8, do = "post-copy"}]

[transition]
commands.to-ovs = ["/usr/local/sbin/to-ovs", "{host}", "{way}"]   # for `kedge transition --run to-ovs`
"""

import tomllib
from collections.abc import Mapping
from dataclasses import field
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from kedge.model.errors import BadRequest
from kedge.model.network_rules import BASE_MAC, ITEMS_MAX, UNLIMITED, NetworkRules
from kedge.model.placement import LABEL_PART
from kedge.model.server import MigrationOptions
from kedge.model.vlan_range import VlanRange
from kedge.serving.limits import ListenersLimits

_STRICT = ConfigDict(extra="forbid")


@dataclass(frozen=True, config=_STRICT)
class NetworkConfig:
    """Who keeps networks, ports and bindings.

    Attributes:
        service: Kedge's own network service, or a Neutron that runs elsewhere.
        cloud: the Neutron's name in clouds.yaml.
        strategy: `parallel` binds a port to both hosts, `rebind-early` moves its one binding ahead of the VM;
            `auto` takes the first that the service offers.
        vlan_ranges: for Kedge's own service: the VLANs that networks are given which name none, each range as
            `physnet1:1000:1099`.
        quota_network: for Kedge's own service, as all that follows: how many networks a project may have of which
            nothing else is said (`openstack quota set`); -1 is no limit.
        quota_subnet: how many subnets.
        quota_port: how many ports.
        max_dns_nameservers: how many name servers a subnet may have.
        max_subnet_host_routes: how many routes a subnet may have.
        base_mac: what generated MAC addresses begin with: three octets, or four if the fourth is not 00.
    """

    service: Literal["kedge", "neutron"] = "kedge"
    cloud: str | None = None
    strategy: Literal["auto", "parallel", "rebind-early"] = "auto"
    vlan_ranges: tuple[str, ...] = ()
    quota_network: Annotated[int, Field(ge=UNLIMITED)] = UNLIMITED
    quota_subnet: Annotated[int, Field(ge=UNLIMITED)] = UNLIMITED
    quota_port: Annotated[int, Field(ge=UNLIMITED)] = UNLIMITED
    max_dns_nameservers: Annotated[int, Field(ge=0, le=ITEMS_MAX)] = 5
    max_subnet_host_routes: Annotated[int, Field(ge=0, le=ITEMS_MAX)] = 20
    base_mac: str = BASE_MAC

    def __post_init__(self) -> None:  # pydantic's message names the section
        for text in self.vlan_ranges:
            VlanRange.parse(text)
        if self.rules != NetworkRules() and self.service == "neutron":
            raise ValueError(
                'quotas, limits and base_mac are for service = "kedge" only; Neutron has its own'
            )
        if self.service == "neutron" and self.vlan_ranges:
            raise ValueError('vlan_ranges are for service = "kedge" only; Neutron has its own')
        if self.service == "neutron" and not self.cloud:
            raise ValueError('service = "neutron" needs cloud, a name in clouds.yaml')
        if self.service == "kedge" and (self.cloud or self.strategy == "rebind-early"):
            raise ValueError('cloud and strategy = "rebind-early" are for service = "neutron" only')

    @property
    def rules(self) -> NetworkRules:
        """What is set for networks, subnets and ports."""
        return NetworkRules(
            {"network": self.quota_network, "subnet": self.quota_subnet, "port": self.quota_port},
            self.max_dns_nameservers,
            self.max_subnet_host_routes,
            self.base_mac,
        )


@dataclass(frozen=True, config=_STRICT)
class AuthConfig:
    """Who may call.

    Attributes:
        strategy: `none` is for loopback only. Without one it is `none` on loopback and `http_basic` elsewhere.
        users: the file of users for `http_basic`.
        cloud: the cloud in clouds.yaml whose Keystone checks tokens, for `keystone`.
        failed_logins: so many wrong passwords an address may try, or anybody for a name, and then one in 6 s. Behind
            a proxy all callers have its address: allow more.
    """

    strategy: Literal["none", "http_basic", "keystone"] | None = None
    users: Path | None = None
    cloud: str | None = None
    failed_logins: Annotated[int, Field(ge=1, le=10_000)] = 10

    def __post_init__(self) -> None:
        if self.strategy == "http_basic" and self.users is None:
            raise ValueError('strategy = "http_basic" needs users, the file that lists them')
        if self.strategy == "keystone" and self.cloud is None:
            raise ValueError('strategy = "keystone" needs cloud, a name in clouds.yaml')


@dataclass(frozen=True, config=_STRICT)
class EventsConfig:
    """Where Nova is told of VIFs; nowhere without either.

    Attributes:
        nova_cloud: a cloud in clouds.yaml, whose compute endpoint gets them.
        nova_url: or that endpoint itself, which then must not ask who calls.
        interval_s: events are gathered for so long, then sent together.
    """

    nova_cloud: str | None = None
    nova_url: str | None = None
    interval_s: Annotated[float, Field(gt=0)] = 2.0


@dataclass(frozen=True, config=_STRICT)
class TransitionConfig:
    """What may be run on this machine to change a host's backend; see `kedge transition --run`.

    Attributes:
        commands: by name, a command and its arguments, run without a shell; `{host}` in an argument is the host's name,
            `{way}` is `in-place` if its servers stay on it, and `moves` if it is empty.
        timeout_s: a command that takes longer is ended.
    """

    commands: dict[str, tuple[str, ...]] = field(default_factory=dict)
    timeout_s: Annotated[float, Field(gt=0, le=86_400)] = 600.0

    def __post_init__(self) -> None:
        for name, command in self.commands.items():
            if not command or not Path(command[0]).is_absolute():
                raise ValueError(f"command {name} needs a program with its whole path, like /usr/bin/ssh")


@dataclass(frozen=True, config=_STRICT)
class ControlPlaneConfig:
    """Where the control plane keeps its state, where it listens and whom it works with.

    Attributes:
        state_dir: for the SQLite database and, unless `pki` says otherwise, the certificates.
        database: SQLAlchemy URL; a SQLite file in `state_dir` if None.
        socket: Unix socket for root on this machine; None for none.
        listen: `ADDRESS:PORT` for clients; None for none.
        agents: `ADDRESS:PORT` for agents, mutual TLS; None for none.
        pki: directory of the certificate authority and of the control plane's own certificate.
        workers: how many processes serve the API.
        certificate: for clients, with its chain; with one, `listen` speaks HTTPS.
        key: the certificate's.
        keep_migrations_days: so long after their end migrations, rewirings (each server's newest stays) and operations
            (each host's newest stays) are deleted.
        policies: migrations' options by name, for servers whose label `policy` names them, and for `--policy`.
    """

    state_dir: Path = Path("/var/lib/kedge")
    database: str | None = None
    socket: Path | None = Path("/run/kedge/kedge.sock")
    listen: str | None = "127.0.0.1:9696"
    agents: str | None = None
    pki: Path | None = None
    workers: Annotated[int, Field(ge=1)] = 1
    certificate: Path | None = None
    key: Path | None = None
    keep_migrations_days: Annotated[float, Field(gt=0, le=36_500)] = 90
    network: NetworkConfig = field(default_factory=NetworkConfig)
    auth: AuthConfig = field(default_factory=AuthConfig)
    events: EventsConfig = field(default_factory=EventsConfig)
    transition: TransitionConfig = field(default_factory=TransitionConfig)
    limits: ListenersLimits = field(default_factory=ListenersLimits)
    policies: dict[str, MigrationOptions] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, policy in self.policies.items():
            if LABEL_PART.fullmatch(name) is None:
                raise ValueError(
                    f"policy {name!r}: a policy's name is a label's value: letters, digits, inner . _ - /"
                )
            if policy.share_mib or policy.complete_now:
                raise ValueError(f"policy {name}: share_mib and complete_now are said of one migration only")
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate and key come together, or not at all")

    @property
    def pki_dir(self) -> Path:
        """Where the certificates are."""
        return self.pki or self.state_dir / "pki"

    @property
    def database_url(self) -> str:
        """The database's URL."""
        return self.database or f"sqlite:///{self.state_dir / 'kedge.db'}"


def load(path: Path | None, overrides: Mapping[str, Any]) -> ControlPlaneConfig:
    """The configuration in a file, or without one the defaults; `overrides` win over both.

    "" for `listen` or `socket` says "nowhere". Raises BadRequest that names the file, the setting and what is
    wrong with it.
    """
    values = ({} if path is None else _read(path)) | dict(overrides)
    values |= {name: None for name in ("listen", "socket") if values.get(name) == ""}
    try:
        return TypeAdapter(ControlPlaneConfig).validate_python(values)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        reason = first["msg"].removeprefix("Value error, ")
        raise BadRequest(f"{path or 'The configuration'}: {place}: {reason}") from None


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text())
    except OSError as error:
        raise BadRequest(f"The configuration {path} can't be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadRequest(f"The configuration {path} is not TOML: {error}") from error
