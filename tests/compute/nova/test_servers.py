"""Servers in lists and alone: what is shown, found, sorted, paged, and to whom."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from sqlalchemy import event, update

from kedge.model.server import Server
from kedge.store import transaction
from kedge.store.tables import ServerRow

from .nova_world import V21, NovaWorld

NOBODY = "5c4f0a52-0a3d-4a8e-9a3e-0e3b7a3f0001"


@pytest.fixture(scope="module")
def servers(nova: NovaWorld) -> dict[str, Server]:
    """vm1 and vm2 of demo, vm3 of other, vm4 of nobody; each made after the one before."""
    fleet = nova.fleet
    places = {"vm1": ("h1", "demo"), "vm2": ("h2", "demo"), "vm3": ("h3", "other"), "vm4": ("h1", None)}
    made = {}
    for name, (host, project) in places.items():
        made[name] = fleet.server(host, name)
        if project:
            fleet.tools.servers.label(made[name].id, {"project": project})
    return made


@pytest.fixture
def _stopped(nova: NovaWorld, servers: dict[str, Server]) -> Iterator[None]:
    nova.fleet.tools.servers.change(servers["vm2"].id, status="SHUTOFF")
    yield
    nova.fleet.tools.servers.change(servers["vm2"].id, status="ACTIVE")


def test_a_server_whole(nova: NovaWorld, servers: dict[str, Server]) -> None:
    fleet, server = nova.fleet, servers["vm1"]
    subnet = {"network_id": fleet.networks()["tagged"].id, "cidr": "10.2.0.0/24", "ip_version": 4}
    answer = nova.open.post("/network/v2.0/subnets", json={"subnet": subnet})
    assert answer.status_code == 201, answer.text
    port = next(each for each in fleet.ports(server) if each.network_id == subnet["network_id"])
    fixed = {"port": {"fixed_ips": [{"ip_address": "10.2.0.9"}]}}
    assert nova.open.put(f"/network/v2.0/ports/{port.id}", json=fixed).status_code == 200
    found = nova.get(f"/servers/{server.id}")["server"]
    assert found["addresses"] == {
        "tagged": [
            {
                "version": 4,
                "addr": "10.2.0.9",
                "OS-EXT-IPS:type": "fixed",
                "OS-EXT-IPS-MAC:mac_addr": port.mac_address,
            }
        ]
    }
    assert (found["id"], found["name"], found["status"]) == (server.id, "vm1", "ACTIVE")
    assert (found["tenant_id"], found["metadata"]) == ("demo", {"project": "demo"})
    assert (found["OS-EXT-SRV-ATTR:host"], found["OS-EXT-SRV-ATTR:hypervisor_hostname"]) == ("h1", "h1")
    states = [found[f"OS-EXT-STS:{each}"] for each in ("vm_state", "task_state", "power_state")]
    assert states == ["active", None, 1]
    assert (found["flavor"]["vcpus"], found["flavor"]["ram"]) == (1, 512)
    assert found["flavor"]["original_name"] == "1vcpu-512mib"
    assert (found["host_status"], found["progress"], found["image"]) == ("UP", 0, "")
    here = f"http://testserver{V21}/servers/{server.id}"
    assert found["links"][0] == {"rel": "self", "href": here}
    flavor = nova.get(f"/servers/{server.id}", "2.46")["server"]["flavor"]
    assert flavor["id"] == "1vcpu-512mib" and flavor["links"][0]["rel"] == "bookmark"
    again = nova.get("/servers/detail?uuid=" + server.id)["servers"]
    assert again == [{key: value for key, value in found.items() if key != "server_groups"}]
    other = nova.get(f"/servers/{servers['vm2'].id}")["server"]
    assert found["hostId"] != other["hostId"] and len(found["hostId"]) == 56


def test_a_list_is_short(nova: NovaWorld, servers: dict[str, Server]) -> None:
    found = nova.get("/servers")["servers"]
    assert [each["name"] for each in found] == ["vm4", "vm3", "vm2", "vm1"], "the newest first"
    assert all(set(each) == {"id", "name", "links"} for each in found)


@pytest.mark.usefixtures("servers", "_stopped")
@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("host=h1", ["vm1", "vm4"]),
        ("host=h1&host=h3", ["vm1", "vm3", "vm4"]),
        ("host=nowhere", []),
        ("node=h2", ["vm2"]),
        ("name=vm", ["vm1", "vm2", "vm3", "vm4"]),
        ("name=VM1", ["vm1"]),
        ("name=%5Evm1%24", ["vm1"]),
        ("name=%5Evm%24", []),
        ("name=v.1", ["vm1"]),
        ("name=%5Ev.*2%24", ["vm2"]),
        ("name=vm%255", []),
        ("name=v_1", []),
        ("status=ACTIVE", ["vm1", "vm3", "vm4"]),
        ("status=shutoff", ["vm2"]),
        ("status=ACTIVE&status=SHUTOFF", ["vm1", "vm2", "vm3", "vm4"]),
        ("status=NONSENSE", []),
        ("vm_state=stopped", ["vm2"]),
        ("power_state=4", ["vm2"]),
        ("task_state=migrating", []),
        (f"uuid={NOBODY}", []),
        ("flavor=1vcpu-512mib", ["vm1", "vm2", "vm3", "vm4"]),
        ("flavor=2vcpu-512mib", []),
        ("flavor=m1.small", []),
        ("image=x", []),
        ("tags=x", []),
        ("not-tags=x", ["vm1", "vm2", "vm3", "vm4"]),
        ("locked=False", ["vm1", "vm2", "vm3", "vm4"]),
        ("locked=true", []),
        ("deleted=True", []),
        ("availability_zone=nova", ["vm1", "vm2", "vm3", "vm4"]),
        ("availability_zone=mars", []),
        ("project_id=demo", ["vm1", "vm2"]),
        ("tenant_id=other&all_tenants=1", ["vm3"]),
        ("all_tenants", ["vm1", "vm2", "vm3", "vm4"]),
        ("host=h1&status=ACTIVE&name=4", ["vm4"]),
    ],
)
def test_filters(nova: NovaWorld, query: str, names: list[str]) -> None:
    assert sorted(nova.names(query)) == names
    assert sorted(each["name"] for each in nova.get(f"/servers/detail?{query}")["servers"]) == names


@pytest.mark.usefixtures("servers")
@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("changes-since=2026-01-01", "can't find servers by changes-since"),
        ("ip=10.0.0.1", "can't find servers by ip"),
        ("color=red", "Additional properties are not allowed ('color' was unexpected)"),
        ("name=(a%2B)%2B%24", "more of a regular expression than is taken here"),
        ("name=a%5C", "more of a regular expression than is taken here"),
        (f"name={'a' * 300}", "has 300 characters"),
        ("limit=-1", "limit"),
        ("limit=x", "limit"),
        (f"marker={NOBODY}", f"marker [{NOBODY}] not found"),
        ("sort_key=color", "Sort key supplied is not valid"),
        ("sort_key=host&sort_dir=up", "asc or desc"),
        ("sort_key=host&sort_dir=asc&sort_dir=asc", "one sort_dir at most"),
        ("all_tenants=perhaps", "It must be true or false"),
        ("locked=perhaps", "It must be true or false"),
        ("&".join(["uuid=x"] * 1001), "more than 1000 values"),
    ],
)
def test_queries_that_are_refused(nova: NovaWorld, query: str, said: str) -> None:
    for path in ("/servers", "/servers/detail"):
        assert said in nova.refused(400, "GET", f"{path}?{query}")


@pytest.mark.usefixtures("servers")
def test_an_unknown_parameter_is_ignored_by_old_microversions(nova: NovaWorld) -> None:
    assert nova.names("color=red", version="2.74") == ["vm4", "vm3", "vm2", "vm1"]


@pytest.mark.usefixtures("servers")
@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("sort_key=display_name&sort_dir=asc", ["vm1", "vm2", "vm3", "vm4"]),
        ("sort_key=created_at&sort_dir=asc", ["vm1", "vm2", "vm3", "vm4"]),
        ("sort_dir=asc", ["vm1", "vm2", "vm3", "vm4"]),
        ("sort_key=host&sort_dir=asc&sort_key=display_name&sort_dir=desc", ["vm4", "vm1", "vm2", "vm3"]),
        ("sort_key=host&sort_key=display_name", ["vm3", "vm2", "vm4", "vm1"]),
        ("sort_key=vm_state&sort_key=display_name&sort_dir=asc", ["vm1", "vm2", "vm3", "vm4"]),
    ],
)
def test_sorting_and_paging(nova: NovaWorld, query: str, names: list[str]) -> None:
    assert nova.names(query) == names
    for path in ("/servers", "/servers/detail"):
        for size in (1, 3):
            met, following = [], f"{path}?{query}&limit={size}"
            while following:
                page: Any = nova.get(following)
                met += [each["name"] for each in page["servers"]]
                assert len(page["servers"]) <= size
                links = {each["rel"]: urlsplit(each["href"]) for each in page.get("servers_links", ())}
                further = links.get("next")
                following = f"{further.path.removeprefix(V21)}?{further.query}" if further else ""
            assert met == names
    assert nova.get("/servers?limit=0") == {"servers": []}


@pytest.mark.usefixtures("servers")
def test_equal_times_lose_nobody_between_pages(nova: NovaWorld) -> None:
    with transaction(nova.fleet.engine) as session:
        session.execute(update(ServerRow).values(updated_at=nova.fleet.now))
    met: list[str] = []
    for _ in range(4):
        marker = f"&marker={met[-1]}" if met else ""
        (one,) = nova.get(f"/servers?sort_key=updated_at&sort_dir=asc&limit=1{marker}")["servers"]
        met.append(one["id"])
    assert sorted(met) == sorted(each["id"] for each in nova.get("/servers")["servers"])


def test_a_project_sees_its_servers_and_no_hosts(nova: NovaWorld, servers: dict[str, Server]) -> None:
    assert nova.names("", user="alice") == ["vm2", "vm1"]
    assert nova.names("", user="bob") == ["vm3"]
    assert nova.names("host=h1&status=ACTIVE", user="alice") == ["vm2", "vm1"], "ignored, as by Nova"
    own, foreign = servers["vm1"].id, servers["vm3"].id
    shown = nova.get(f"/servers/{own}", user="alice")["server"]
    assert not any("host" in name.lower() for name in set(shown) - {"hostId", "OS-EXT-SRV-ATTR:hostname"})
    for unknown in (foreign, servers["vm4"].id, NOBODY):
        said = nova.refused(404, "GET", f"/servers/{unknown}", user="alice")
        assert said == f"Instance {unknown} could not be found."
    assert "marker" in nova.refused(400, "GET", f"/servers?marker={foreign}", user="alice")
    said = nova.refused(403, "GET", "/servers?all_tenants=1", user="alice")
    assert "rule:os_compute_api:servers:detail:get_all_tenants is disallowed by policy" in said
    assert "Sort key" in nova.refused(400, "GET", "/servers?sort_key=host", user="alice")


@pytest.mark.usefixtures("servers")
def test_an_admin_sees_all_who_says_so(nova: NovaWorld) -> None:
    assert nova.names("", user="root") == ["vm4", "vm3", "vm2", "vm1"], "acts for all projects"
    assert nova.names("", user="max") == ["vm2", "vm1"], "acts for demo"
    assert nova.names("all_tenants=True", user="max") == ["vm4", "vm3", "vm2", "vm1"]
    assert nova.names("project_id=other", user="max") == ["vm3"]
    shown = nova.get("/servers/detail", user="audit")["servers"]
    assert len(shown) == 4 and "OS-EXT-SRV-ATTR:host" not in shown[0], "hosts are for admins"


@pytest.mark.usefixtures("servers")
def test_what_is_not_there(nova: NovaWorld) -> None:
    for path in ("/servers/vm1", "/servers/%27", f"/servers/{'x' * 10_000}"):
        assert "could not be found." in nova.refused(404, "GET", path)
    assert nova.refused(404, "GET", "/volumes") == "The resource could not be found."
    answer = nova.ask("PATCH", "/servers")
    assert (answer.status_code, answer.headers["Allow"]) == (405, "GET")
    assert "badMethod" in answer.json()


def test_a_page_takes_few_statements(nova: NovaWorld, servers: dict[str, Server]) -> None:
    seen: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        seen.extend([statement] if statement != "BEGIN" else [])

    event.listen(nova.fleet.engine, "before_cursor_execute", note)
    try:
        nova.get(f"/servers/detail?limit=1000&marker={servers['vm4'].id}")
        first = len(seen)
        nova.get("/servers/detail?limit=1000")
    finally:
        event.remove(nova.fleet.engine, "before_cursor_execute", note)
    assert first <= 6 and len(seen) - first <= 6, seen
