"""Kedge as Neutron's own unit tests expect their Neutron: with the hosts of its mechanism driver `test`."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from sqlalchemy import Engine, delete
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from kedge.auth.guard import Guard
from kedge.config import NetworkConfig
from kedge.core import binding
from kedge.core.binding import Bound, Refused
from kedge.model.caller import Identity, Role
from kedge.model.host import HostBackend
from kedge.model.network import Network, Port, VifType
from kedge.model.vlan_range import VlanRange
from kedge.network.api import install_error_handlers, network_router
from kedge.network.local import LocalNetworkService
from kedge.store import transaction
from kedge.store.tables import EventRow, NetworkRow, PortRow, SubnetPoolRow
from kedge.wire.messages import HostReport

from ...network.network_world import make_world
from ..settings import listening

# As Neutron's `mechanism_test` binds on them.
_HOSTS: Mapping[str, Bound | Refused] = {
    "host-ovs-no_filter": Bound("test", VifType.OVS, {"port_filter": False}),
    "host-ovs-filter-active": Bound("test", VifType.OVS, {"port_filter": True}),
    "host-bridge-filter": Bound("test", VifType.BRIDGE, {"port_filter": True}),
    "host-fail": Refused("this host is there to fail"),
}


class AsHeadersSay:
    """Believes what the headers say of who calls."""

    challenge = "Trust"

    async def identify(self, headers: Headers, address: str) -> Identity:
        """The caller."""
        known = {role.value for role in Role}
        roles = frozenset(Role(each) for each in headers.get("X-Roles", "").split(",") if each in known)
        return Identity("tester", roles, headers.get("X-Project-Id"))


@contextmanager
def kedge_for_neutrons_tests(directory: Path, patch: pytest.MonkeyPatch) -> Iterator[str]:
    """Such a Kedge on a port of loopback; its URL."""
    with make_world(directory) as world:
        drivers = {**binding.drivers(), "test": _bind}
        patch.setattr(binding, "drivers", lambda: drivers)
        service = LocalNetworkService(
            world.engine, clock=lambda: world.now, vlan_ranges=[VlanRange("physnet1", 1000, 1099)]
        )
        for host in _HOSTS:
            service.record_host(_report(host))
        app = FastAPI()
        install_error_handlers(app)
        app.include_router(network_router(service))
        with listening(_settable(_forgetful(Guard(app, AsHeadersSay()), world.engine), service)) as url:
            yield url


def _report(host: str) -> HostReport:
    return HostReport(
        host=host,
        url=f"https://{host}:8774",
        backends=(HostBackend("test", {"physnet1": host}),),
        libvirt_uri=f"qemu+tcp://{host}/system",
        migrate_uri=f"tcp://{host}",
        libvirt_version=9_000_000,
        vifs={},
        running=(),
    )


def _bind(_port: Port, _network: Network, backend: HostBackend) -> Bound | Refused:
    return _HOSTS[backend.mappings["physnet1"]]


def _settable(app: ASGIApp, service: LocalNetworkService) -> ASGIApp:
    """`app`, and PUT /rules: what a Kedge's configuration says, for Neutron's tests, which set Neutron's options."""

    async def either(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] != "/rules":
            return await app(scope, receive, send)
        service.rules = NetworkConfig(**await Request(scope, receive).json()).rules
        return await Response(status_code=204)(scope, receive, send)

    return either


def _forgetful(app: ASGIApp, engine: Engine) -> ASGIApp:
    """`app`, and DELETE /everything."""

    async def either(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] != "/everything":
            return await app(scope, receive, send)
        rows: tuple[Any, ...] = (
            EventRow,
            PortRow,
            NetworkRow,
            SubnetPoolRow,
        )  # what belongs to them goes with them
        with transaction(engine) as session:
            for each in rows:
                session.execute(delete(each))
        return await Response(status_code=204)(scope, receive, send)

    return either
