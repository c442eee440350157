"""How ports are bound: every driver with every kind of network, and every reason why not."""

from dataclasses import replace

import pytest

from kedge.core.binding import Bound, Refused, bind_port, drivers
from kedge.core.binding.rules import vlan_device
from kedge.model.errors import CannotBind
from kedge.model.host import Host, HostBackend
from kedge.model.network import Network, NetworkType, Port, Segment, VifType

FLAT = Segment(NetworkType.FLAT, "physnet1")
VLAN = Segment(NetworkType.VLAN, "physnet1", 100)
NETWORK_ID = "1747ecff-8340-4f86-8565-2b34e04e41bf"
PORT = Port("e710ba1c-3175-4ede-97f9-c996d79253a0", NETWORK_ID, "fa:16:3e:47:58:20")

MACVTAP_ETH1 = HostBackend("macvtap", {"physnet1": "eth1"})
MACVTAP_ENS5 = HostBackend("macvtap", {"physnet1": "ens5"})
OVS = HostBackend("openvswitch", {"physnet1": "br-physnet1"})
OVS_HYBRID = HostBackend("openvswitch", {"physnet1": "br-physnet1"}, hybrid_plug=True, datapath_type="netdev")
BRIDGE = HostBackend("linuxbridge", {"physnet1": "eth1"})


def network(segment: Segment = VLAN, mtu: int = 1500) -> Network:
    return Network(NETWORK_ID, "red", segment, mtu)


def host(*backends: HostBackend, alive: bool = True) -> Host:
    return Host("h1", alive=alive, backends=backends)


def ovs_details(hybrid: bool, datapath: str) -> dict[str, object]:
    return {
        "connectivity": "l2",
        "port_filter": True,
        "ovs_hybrid_plug": hybrid,
        "ovs_create_tap": True,
        "datapath_type": datapath,
        "bridge_name": "br-int",
    }


def macvtap_details(interface: str, vlan: int | None) -> dict[str, object]:
    details: dict[str, object] = {"connectivity": "l2", "port_filter": False}
    if vlan is not None:
        details["vlan"] = vlan
    source = interface if vlan is None else f"{interface}.{vlan}"
    return details | {"physical_interface": interface, "macvtap_source": source, "macvtap_mode": "bridge"}


BRIDGE_DETAILS = {"connectivity": "l2", "port_filter": True, "bridge_name": "brq1747ecff-83"}


@pytest.mark.parametrize(
    ("backend", "segment", "driver", "vif_type", "details"),
    [
        (MACVTAP_ETH1, FLAT, "macvtap", VifType.MACVTAP, macvtap_details("eth1", None)),
        (MACVTAP_ETH1, VLAN, "macvtap", VifType.MACVTAP, macvtap_details("eth1", 100)),
        (MACVTAP_ENS5, FLAT, "macvtap", VifType.MACVTAP, macvtap_details("ens5", None)),
        (MACVTAP_ENS5, VLAN, "macvtap", VifType.MACVTAP, macvtap_details("ens5", 100)),
        (OVS, FLAT, "openvswitch", VifType.OVS, ovs_details(False, "system")),
        (OVS, VLAN, "openvswitch", VifType.OVS, ovs_details(False, "system")),
        (OVS_HYBRID, FLAT, "openvswitch", VifType.OVS, ovs_details(True, "netdev")),
        (OVS_HYBRID, VLAN, "openvswitch", VifType.OVS, ovs_details(True, "netdev")),
        (BRIDGE, FLAT, "linuxbridge", VifType.BRIDGE, BRIDGE_DETAILS),
        (BRIDGE, VLAN, "linuxbridge", VifType.BRIDGE, BRIDGE_DETAILS),
    ],
)
def test_each_driver_binds_each_segment(
    backend: HostBackend, segment: Segment, driver: str, vif_type: VifType, details: dict[str, object]
) -> None:
    bound = bind_port(PORT, network(segment), host(backend))
    assert bound == Bound(driver, vif_type, details)
    assert list(bound.vif_details) == list(details), "the order of keys is Neutron's"


@pytest.mark.parametrize("driver", ["macvtap", "openvswitch", "linuxbridge"])
@pytest.mark.parametrize(
    ("port", "net", "mappings", "reason"),
    [
        (PORT, network(), {"physnet2": "eth2", "physnet3": "eth3"}, "mapped: physnet2, physnet3"),
        (PORT, network(), {}, "mapped: none"),
        (
            Port(PORT.id, NETWORK_ID, "", vnic_type="direct"),
            network(),
            {"physnet1": "x"},
            "vnic_type 'direct'",
        ),
        (PORT, network(Segment("vxlan", "physnet1", 7)), {"physnet1": "x"}, "network type 'vxlan'"),  # type: ignore[arg-type]
        (PORT, network(Segment(NetworkType.VLAN, "physnet1")), {"physnet1": "x"}, "no VLAN id"),
        (PORT, network(Segment(NetworkType.VLAN, "physnet1", 4095)), {"physnet1": "x"}, "not in 1..4094"),
        (PORT, network(mtu=9000), {"physnet1": "eth7"}, "eth7 has MTU 1500 and network"),
    ],
)
def test_each_driver_says_why_not(
    driver: str, port: Port, net: Network, mappings: dict[str, str], reason: str
) -> None:
    backend = HostBackend(driver, mappings, mtus={"physnet1": 1500})
    with pytest.raises(CannotBind) as caught:
        bind_port(port, net, host(backend))
    assert len(caught.value.reasons) == 1
    assert caught.value.reasons[0].startswith(f"{driver}: ")
    assert reason in caught.value.reasons[0]


def test_the_first_backend_that_can_binds() -> None:
    elsewhere = HostBackend("openvswitch", {"physnet2": "br-2"})
    assert bind_port(PORT, network(), host(elsewhere, BRIDGE, MACVTAP_ETH1)).driver == "linuxbridge"
    assert bind_port(PORT, network(), host(elsewhere, MACVTAP_ETH1, BRIDGE)).driver == "macvtap"


def test_every_backend_that_was_asked_gives_its_reason() -> None:
    backends = (HostBackend("openvswitch", {"physnet2": "br-2"}), HostBackend("warp", {"physnet1": "eth1"}))
    with pytest.raises(CannotBind) as caught:
        bind_port(PORT, network(), host(*backends))
    first, second = caught.value.reasons
    assert "openvswitch: physical network 'physnet1' is not mapped" in first
    assert "warp: there is no mechanism driver of this name" in second
    assert first in str(caught.value)
    assert second in str(caught.value)


def test_a_dead_agent_binds_nothing() -> None:
    with pytest.raises(CannotBind, match="the agent on h1 is dead"):
        bind_port(PORT, network(), host(OVS, alive=False))


def test_a_host_without_backends_binds_nothing() -> None:
    with pytest.raises(CannotBind, match="reports no network backend"):
        bind_port(PORT, network(), host())


def test_an_mtu_that_just_fits_is_enough_and_an_unknown_one_is_trusted() -> None:
    exact = HostBackend("macvtap", {"physnet1": "eth1"}, mtus={"physnet1": 9000})
    unknown = HostBackend("macvtap", {"physnet1": "eth1"}, mtus={"physnet2": 1500})
    for backend in (exact, unknown):
        assert bind_port(PORT, network(mtu=9000), host(backend)).vif_type == VifType.MACVTAP


def test_no_answer_leaks_into_the_next() -> None:
    tagged = bind_port(PORT, network(VLAN), host(MACVTAP_ETH1))
    tagged.vif_details["vlan"] = 4000  # type: ignore[index]
    flat = bind_port(PORT, network(FLAT), host(MACVTAP_ETH1))
    assert "vlan" not in flat.vif_details
    assert bind_port(PORT, network(VLAN), host(MACVTAP_ETH1)).vif_details["vlan"] == 100


def test_a_long_interface_name_leaves_room_for_any_vlan_id() -> None:
    long, other = "enp0s31f6np0", "enp0s31f6np1"
    assert vlan_device("eth1", 100) == "eth1.100"
    assert vlan_device("exactly-10", 4094) == "exactly-10.4094"
    assert vlan_device(long, 4094).removesuffix(".4094") == vlan_device(long, 7).removesuffix(".7")
    assert len(vlan_device(long, 4094)) == 15
    assert vlan_device(long, 7) != vlan_device(other, 7)


def test_the_drivers_are_found_by_name() -> None:
    assert set(drivers()) >= {"openvswitch", "linuxbridge", "macvtap"}
    for name, bind in drivers().items():
        answer = bind(PORT, network(), HostBackend(name, {"physnet1": "x"}))
        assert isinstance(answer, Bound)
        assert answer.driver == name
        assert isinstance(bind(PORT, network(), HostBackend(name)), Refused)


@pytest.mark.parametrize(
    ("segment", "bridges", "expected"),
    [
        (FLAT, {"physnet1": "br0"}, "br0"),
        (VLAN, {"physnet1": "br0", "physnet1.100": "br-storage"}, "br-storage"),
        (VLAN, {"physnet1": "br0"}, "brq1747ecff-83"),
        (FLAT, {"physnet1.100": "br-storage", "physnet2": "br2"}, "brq1747ecff-83"),
    ],
)
def test_a_bridge_that_holds_the_segment_already_is_the_one(
    segment: Segment, bridges: dict[str, str], expected: str
) -> None:
    bound = bind_port(PORT, network(segment), host(replace(BRIDGE, bridges=bridges)))
    assert bound.vif_details["bridge_name"] == expected
