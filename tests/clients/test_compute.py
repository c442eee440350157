"""`openstack` and openstacksdk, as they come from the registry, list, show and move servers of simulated hosts."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from kedge.auth import guarded, open_strategy
from kedge.cli.openrc import clouds_yaml
from kedge.config import AuthConfig
from kedge.control_plane import build_app
from kedge.model.errors import Unreachable
from kedge.model.server import Server
from kedge.serving.server import Listener, running

from ..auth.conftest import write_users
from ..compute.compute_world import ComputeWorld, make_compute_world
from ..processes import free_port
from .conftest import Openstack
from .test_sdk import run


@dataclass(frozen=True)
class Cloud:
    """Hosts, and the commands of an admin of all projects and of a member of project demo."""

    fleet: ComputeWorld
    root: Openstack
    alice: Openstack
    endpoint: str

    def server(self, name: str) -> Server:
        """A server of demo on h1."""
        made = self.fleet.server("h1", name)
        return self.fleet.tools.servers.label(made.id, {"project": "demo"})


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    directory = tmp_path_factory.mktemp("cloud")
    users = write_users(directory / "users", {"root": "admin", "alice": "member:demo"})
    strategy = open_strategy(AuthConfig(users=users), None)
    with make_compute_world(directory) as fleet:
        conductor = fleet.conductor(fleet.tools)
        app = build_app(fleet.network, conductor, fleet.servers, lambda inner: guarded(inner, strategy))
        port = free_port()
        conductor.start()
        try:
            with running(app, [Listener.tcp("127.0.0.1", port)]), fleet.fabric.running_by_itself():
                root, alice = (_command(directory, name, port) for name in ("root", "alice"))
                yield Cloud(fleet, root, alice, f"http://127.0.0.1:{port}/compute/v2.1")
        finally:
            conductor.stop()


def _command(directory: Path, user: str, port: int) -> Openstack:
    home = directory / user
    home.mkdir()
    text = clouds_yaml(f"http://{user}:{user}'s%20secret@127.0.0.1:{port}", "kedge")
    (home / "clouds.yaml").write_text(text)
    return Openstack(("--os-cloud", "kedge"), home)


def test_servers_and_their_live_migration(cloud: Cloud) -> None:
    server = cloud.server("vm1")
    (listed,) = cloud.root("server", "list", "--long", "--name", "^vm1$")
    assert (listed["ID"], listed["Status"], listed["Host"]) == (server.id, "ACTIVE", "h1")
    cloud.root.said("server", "migrate", "--live-migration", "--wait", "--host", "h3", "vm1")
    shown = cloud.root("server", "show", "vm1")
    assert shown["OS-EXT-SRV-ATTR:host"] == "h3" and shown["flavor"]["original_name"] == "1vcpu-512mib"
    (past,) = cloud.root("server", "migration", "list", "--server", "vm1")
    assert (past["Source Compute"], past["Dest Compute"], past["Status"]) == ("h1", "h3", "completed")
    cloud.fleet.check(server, "h3")


def test_errors_as_a_person_sees_them(cloud: Cloud) -> None:
    cloud.server("vm2")
    said = cloud.root.fails("server", "migrate", "--live-migration", "--host", "h1", "vm2")
    assert "BadRequestException: 400" in said and "is on h1 already; choose another host" in said
    said = cloud.alice.fails("server", "migrate", "--live-migration", "vm2")
    assert "ForbiddenException: 403" in said and "os-migrate-server:migrate_live" in said
    assert cloud.alice("server", "show", "vm2")["OS-EXT-SRV-ATTR:host"] is None


_SDK = """
compute = openstack.connect(load_yaml_config=False, **json.loads(sys.argv[1])).compute
told["servers"] = sorted(each.name for each in compute.servers(details=False, limit=1))
server = compute.find_server("vm3", ignore_missing=False)
told["found"] = [server.id, server.status, server.compute_host]
told["paged"] = sorted(each.id for each in compute.servers(limit=1)) == sorted(each.id for each in compute.servers())
compute.live_migrate_server(server, host="h2", block_migration="auto")
told["twice"] = refused(compute.live_migrate_server, server, host="h3", block_migration="auto")
(moving,) = compute.server_migrations(server)
told["moving"] = [moving.status, moving.source_compute, moving.dest_compute, compute.get_server(server.id).status]
compute.abort_server_migration(moving, server)
compute.wait_for_server(compute.get_server(server.id), wait=60, interval=0.1)
told["past"] = [[each.status, each.migration_type] for each in compute.migrations(instance_uuid=server.id)]
told["still on"] = compute.get_server(server.id).compute_host
told["unknown"] = refused(compute.get_server, "nothing")
"""


def test_openstacksdk(cloud: Cloud) -> None:
    server = cloud.server("vm3")
    faults = cloud.fleet["h2"].agent.faults
    faults.fail("plug", Unreachable("it takes its time"), times=None)
    told = run(
        _SDK,
        cloud.root.home,
        auth_type="http_basic",
        auth={"endpoint": cloud.endpoint, "username": "root", "password": "root's secret"},
        compute_endpoint_override=cloud.endpoint,
    )
    assert "vm3" in told["servers"] and told["paged"] is True
    assert told["found"] == [server.id, "ACTIVE", "h1"]
    assert told["twice"][0] == "ConflictException" and "task_state migrating" in told["twice"][1]
    assert told["moving"] == ["preparing", "h1", "h2", "MIGRATING"]
    assert told["past"] == [["cancelled", "live-migration"]] and told["still on"] == "h1"
    assert told["unknown"][0] == "NotFoundException"
    faults.clear()
    cloud.fleet.check(server, "h1")
