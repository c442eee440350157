"""The agent's configuration file (TOML).

host = "h1"                                  # the host's name, as in its certificate
listen = "192.0.2.11:9799"                   # where the control plane reaches this agent
control = "https://192.0.2.10:9798"          # where this agent reaches the control plane; a list of all, if several
certificate = "/etc/kedge/h1.pem"
key = "/etc/kedge/h1.key"
ca = "/etc/kedge/ca.pem"
state_dir = "/var/lib/kedge-agent"
libvirt_local_uri = "qemu:///system"         # how this agent connects to libvirtd
libvirt_uri = "qemu+tls://192.0.2.11/system" # how other hosts' libvirtds do
migrate_uri = "tcp://192.0.2.11"             # where QEMU's migration stream comes in
migration_network = "fast"                   # its name, the same on all hosts that share it, for limits of operations
graphics_address = "192.0.2.11"              # where VMs' consoles listen on this host; without: the address of `listen`
files = ["/var/lib/libvirt/images", "/srv/vms"]  # where a new domain's files may be; without: wherever libvirtd allows

[[backend]]
driver = "openvswitch"
mappings = { physnet1 = "br-physnet1" }
"""

import ipaddress
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from kedge.core.migration_uris import check_libvirt_uri, check_migrate_uri
from kedge.core.placement.labels import LONGEST
from kedge.model.errors import BadRequest
from kedge.model.host import HostBackend
from kedge.model.placement import LABEL_PART
from kedge.serving import AgentLimits
from kedge.trust.certificates import Credentials

_NET = Path("/sys/class/net")


def _address(value: str) -> str:
    address, _, port = value.rpartition(":")
    if not port.isdecimal() or not 0 < int(port) < 65536:
        raise ValueError(f"must be ADDRESS:PORT, not {value!r}")
    try:
        ipaddress.ip_address(address.strip("[]"))
    except ValueError as error:
        raise ValueError(f"must begin with an IP address, not {address!r}") from error
    return value


def _ip_address(value: str) -> str:
    try:
        return str(ipaddress.ip_address(value))
    except ValueError as error:
        raise ValueError(f"must be an IP address, not {value!r}") from error


def _https(value: str) -> str:
    if urlsplit(value).scheme != "https" or not urlsplit(value).netloc:
        raise ValueError(f"must be an https:// address, not {value!r}")
    return value.rstrip("/")


def _uri(value: str) -> str:
    if not urlsplit(value).scheme:
        raise ValueError(f"must be a URI, not {value!r}")
    return value


def _libvirt_uri(value: str) -> str:
    return _checked(check_libvirt_uri, value)


def _migrate_uri(value: str) -> str:
    return _checked(check_migrate_uri, value)


def _checked(check: Callable[[str], None], value: str) -> str:
    try:
        check(value)
    except BadRequest as error:
        raise ValueError(str(error).rstrip(".")) from error
    return value


def _network_name(value: str) -> str:
    if len(value) > LONGEST or LABEL_PART.fullmatch(value) is None:
        raise ValueError(f"must be 1 to {LONGEST} letters, digits and inner . _ - /, not {value!r}")
    return value


def _not_none(value: tuple["BackendConfig", ...]) -> tuple["BackendConfig", ...]:
    if not value:
        raise ValueError("must have at least one table")
    return value


Address = Annotated[str, AfterValidator(_address)]
IpAddress = Annotated[str, AfterValidator(_ip_address)]
Https = Annotated[str, AfterValidator(_https)]
Uri = Annotated[str, AfterValidator(_uri)]
Controls = Annotated[
    tuple[Https, ...],
    BeforeValidator(lambda value: [value] if isinstance(value, str) else value),
    Field(min_length=1),
]


class BackendConfig(BaseModel):
    """One mechanism driver's share of this host."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    driver: str = Field(min_length=1)
    mappings: dict[str, str] = Field(default_factory=dict)
    integration_bridge: str = "br-int"
    datapath_type: str = "system"
    hybrid_plug: bool = False

    def backend(self) -> HostBackend:
        """The backend as it is reported, with the MTUs that the host shows now."""
        mtus = {
            network: mtu for network, device in self.mappings.items() if (mtu := _mtu(device)) is not None
        }
        return HostBackend(mtus=mtus, **self.model_dump())


class AgentConfig(BaseModel):
    """The whole file; see the module's text for an example."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    host: str = Field(min_length=1)
    listen: Address
    control: Controls
    certificate: Path
    key: Path
    ca: Path
    state_dir: Path
    libvirt_local_uri: Uri = "qemu:///system"
    libvirt_uri: Annotated[str, AfterValidator(_libvirt_uri)]
    migrate_uri: Annotated[str, AfterValidator(_migrate_uri)]
    migration_network: Annotated[str, AfterValidator(_network_name)] | None = None
    graphics_address: IpAddress | None = None
    url: Https | None = None  # how the control plane reaches this agent, where that is not `listen`
    files: tuple[Path, ...] | None = None
    limits: AgentLimits = Field(default_factory=AgentLimits)
    backend: Annotated[tuple[BackendConfig, ...], AfterValidator(_not_none)]

    @model_validator(mode="after")
    def _reachable(self) -> "AgentConfig":
        if any(not each.is_absolute() for each in self.files or ()):
            raise ValueError("files: must be absolute paths of directories")
        if self.url is None and ipaddress.ip_address(self.address).is_unspecified:
            raise ValueError("listen: an agent that listens on every address needs `url`, its own address")
        return self

    @property
    def address(self) -> str:
        """The IP address to listen on."""
        return self.listen.rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        """The TCP port to listen on."""
        return int(self.listen.rpartition(":")[2])

    @property
    def consoles(self) -> str:
        """The IP address on which VMs' consoles listen here; empty if it is not known."""
        if self.graphics_address:
            return self.graphics_address
        return "" if ipaddress.ip_address(self.address).is_unspecified else self.address

    @property
    def own_url(self) -> str:
        """How the control plane reaches this agent."""
        return self.url or f"https://{self.listen}"

    @property
    def credentials(self) -> Credentials:
        """The files of this agent's certificate."""
        return Credentials(self.certificate, self.key, self.ca)

    def backends(self) -> tuple[HostBackend, ...]:
        """The host's backends, with MTUs."""
        return tuple(backend.backend() for backend in self.backend)


def load(path: Path) -> AgentConfig:
    """Read a configuration file. Raises BadRequest with a sentence for each thing that is wrong in it."""
    try:
        content: dict[str, Any] = tomllib.loads(path.read_text())
    except FileNotFoundError as error:
        raise BadRequest(f"there is no configuration file {path}") from error
    except OSError as error:
        raise BadRequest(f"{path} can't be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadRequest(f"{path} is not TOML: {error}") from error
    return read(content, str(path))


def read(content: dict[str, Any], origin: str) -> AgentConfig:
    """A configuration from what a TOML file holds; `origin` names the file in messages."""
    try:
        return AgentConfig.model_validate(content)
    except ValidationError as error:
        problems = [_sentence(problem["loc"], problem["type"], problem["msg"]) for problem in error.errors()]
        raise BadRequest("\n".join(f"{origin}: {problem}" for problem in problems)) from error


def _sentence(place: tuple[int | str, ...], kind: str, message: str) -> str:
    key = ".".join(str(part + 1) if isinstance(part, int) else part for part in place)
    if kind == "missing":
        return f"`{key}` is missing."
    if kind == "extra_forbidden":
        return f"`{key}` is not a known setting; is it misspelt?"
    text = message.removeprefix("Value error, ")
    return f"`{key}`: {text}." if key else f"{text}."


def _mtu(device: str) -> int | None:
    try:
        return int((_NET / device / "mtu").read_text())
    except (OSError, ValueError):
        return None
