"""Where the contract of the network service is tested: each is a service, with the hosts h1 to h4 of the lab.

h1 and h2 are macvtap hosts (eth1 and ens5), h3 is Open vSwitch, h4 Open vSwitch with hybrid plug.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import uvicorn
from fastapi import FastAPI
from keystoneauth1.adapter import Adapter
from keystoneauth1.noauth import NoAuth
from keystoneauth1.session import Session
from starlette.responses import JSONResponse

from kedge.network.api import install_error_handlers, network_router
from kedge.network.local import LocalNetworkService
from kedge.network.neutron import Neutron, NeutronNetworkService
from kedge.network.service import NetworkService

from ..network.network_world import make_world

Strategy = Literal["parallel", "rebind-early"]
STRATEGIES: tuple[Strategy, ...] = ("parallel", "rebind-early")


@contextmanager
def kedges_own(directory: Path) -> Iterator[NetworkService]:
    """Kedge's own network service."""
    with make_world(directory) as world:
        yield world.service


@contextmanager
def kedge_over_rest(directory: Path) -> Iterator[str]:
    """Kedge's own REST API on a port of loopback; its base URL."""
    with make_world(directory) as world, served(world.service) as url:
        yield url


@contextmanager
def served(service: LocalNetworkService) -> Iterator[str]:
    """A network service's REST API on a port of loopback; its base URL."""
    app = FastAPI()
    app.include_router(network_router(service))
    install_error_handlers(app)
    with listening(app) as url:
        yield f"{url}/network"


@contextmanager
def listening(app: Any) -> Iterator[str]:
    """An application on a port of loopback; its base URL."""
    config = uvicorn.Config(app, port=0, log_level="warning", lifespan="off", ws="none")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, name="served for a test")
    thread.start()
    try:
        while not server.started:
            thread.join(0.01)
            assert thread.is_alive()
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


@contextmanager
def adapter(url: str, strategy: Strategy) -> Iterator[NeutronNetworkService]:
    """The adapter on whatever answers like Neutron at this URL."""
    client = Adapter(Session(auth=NoAuth(endpoint=url)), service_type="network")
    service = NeutronNetworkService(Neutron(client, "test"), strategy=strategy)
    try:
        yield service
    finally:
        service.close()


@contextmanager
def answering(answer: Callable[[], tuple[int, Any]]) -> Iterator[str]:
    """Something that gives the same answer to everything, on a port of loopback; its base URL."""

    async def app(scope: Any, _receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            status, body = answer()
            await JSONResponse(body, status)(scope, _receive, send)

    with listening(app) as url:
        yield url
