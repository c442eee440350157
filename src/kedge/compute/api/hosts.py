"""REST under /kedge/v1: hosts, what operators say of them, and labels of servers."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from fastapi import APIRouter

from kedge.model.host import Host
from kedge.model.placement import MIB, HostLimits
from kedge.model.server import UNKNOWN_REFUSED, Server

from ..migrations.actor import Tools


@dataclass(frozen=True)
class ForcedDown:
    """Whether a host is said to be off."""

    __pydantic_config__ = UNKNOWN_REFUSED

    forced_down: bool


@dataclass(frozen=True)
class Disabled:
    """Whether a host receives no server, and why not."""

    __pydantic_config__ = UNKNOWN_REFUSED

    disabled: bool
    reason: str = ""


@dataclass(frozen=True)
class LabelChanges:
    """Labels to set; those whose value is null are taken off, others stay."""

    __pydantic_config__ = UNKNOWN_REFUSED

    labels: Mapping[str, str | None]


@dataclass(frozen=True)
class Promised:
    """What servers on a host, and those on their way there, are promised of it."""

    servers: int = 0
    memory_mib: int = 0
    vcpus: int = 0


@dataclass(frozen=True)
class HostDetails(Host):
    """A host with what operators have said of it; `disabled_reason` is null where it receives servers."""

    labels: Mapping[str, str] = field(default_factory=dict)
    disabled_reason: str | None = None
    limits: HostLimits = field(default_factory=HostLimits)
    promised: Promised = field(default_factory=Promised)


def add_host_routes(router: APIRouter, tools: Tools) -> None:
    """Add the routes to those of Kedge's own API."""

    def details(hosts: list[Host]) -> list[HostDetails]:
        fleet = tools.rooms.fleet(hosts)
        found = []
        for host in hosts:
            settings, load = fleet.hosts[host.name].settings, fleet.load(host.name)
            promised = Promised(load.servers, load.memory // MIB, load.vcpus)
            found.append(
                HostDetails(
                    **vars(host),
                    labels=settings.labels,
                    disabled_reason=settings.disabled,
                    limits=settings.limits,
                    promised=promised,
                )
            )
        return found

    @router.get("/hosts", tags=["hosts"])
    def list_hosts() -> list[HostDetails]:
        """All hosts that ever reported, dead ones too."""
        return details(tools.agents.hosts())

    @router.put("/hosts/{host}/forced-down", tags=["hosts"])
    def force_down(host: str, body: ForcedDown) -> Host:
        """Say that a host is off, so that nothing waits for it any more, or that it is back.

        Whoever says so answers for it: a VM that ran on there would be taken for lost. A host whose agent answers
        is not off, and refuses (409).
        """
        return tools.agents.force_down(host, body.forced_down)

    @router.put("/hosts/{host}/disabled", tags=["hosts"])
    def disable(host: str, body: Disabled) -> HostDetails:
        """Say that a host receives no server any more, and why; or that it does again. What is there stays."""
        found = tools.agents.host(host)
        if body.disabled:
            tools.settings.disable(host, body.reason)
        else:
            tools.settings.enable(host)
        return details([found])[0]

    @router.put("/hosts/{host}/limits", tags=["hosts"])
    def limit(host: str, body: HostLimits) -> HostDetails:
        """Say how much of a host servers may be promised. Those that are there already stay."""
        found = tools.agents.host(host)
        tools.settings.limit(host, body)
        return details([found])[0]

    @router.patch("/hosts/{host}/labels", tags=["hosts"])
    def label_host(host: str, body: LabelChanges) -> HostDetails:
        """Set labels of a host, or take them off."""
        found = tools.agents.host(host)
        tools.settings.label(host, body.labels)
        return details([found])[0]

    @router.patch("/servers/{server}/labels", tags=["servers"])
    def label_server(server: str, body: LabelChanges) -> Server:
        """Set labels of a server, or take them off. Some make groups of servers: see docs/fleet.md."""
        return tools.servers.label(tools.servers.find(server).id, body.labels)
