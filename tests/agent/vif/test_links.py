"""Devices as `ip` describes them, and what the kernel refuses."""

import json
from typing import Any

import pytest

from kedge.agent.vif import rtnetlink
from kedge.agent.vif.link import Link
from kedge.agent.vif.link_settings import link_request
from kedge.model.errors import HostFailure

from .vif_world import INTERFACE, World, cases, run

pytestmark = pytest.mark.lab

one_host = cases(lambda case: case.name == "macvtap-flat")

LONG = "a-further-name-that-is-longer-than-fifteen"


def as_ip_says(shown: dict[str, Any]) -> dict[str, Any]:
    """What `ip -json -details link show` tells, by the fields of a `Link`."""
    data = shown.get("linkinfo", {}).get("info_data", {})
    return {
        "index": shown["ifindex"],
        "name": shown["ifname"],
        "kind": shown.get("linkinfo", {}).get("info_kind", ""),
        "mac": shown["address"],
        "mtu": shown["mtu"],
        "up": "UP" in shown["flags"],
        "all_multicast": "ALLMULTI" in shown["flags"],
        "alias": shown.get("ifalias", ""),
        "altnames": tuple(shown.get("altnames", ())),
        "multi_queue": bool(data.get("multi_queue")),
        "macvtap_mode": data.get("mode"),
    }


@one_host
def test_devices_are_as_ip_describes_them(host: World) -> None:
    links = host.pluggers._links
    tap = links.add_tap("tap0", "kedge:one:ö", multi_queue=False)
    several = links.add_tap("tap1", "", multi_queue=True)
    bridge = links.add("br0", "bridge", "a bridge", br_stp_state=0, br_forward_delay=0, br_ageing_time=0)
    parent = links.get(INTERFACE)
    settings = {"address": "02:00:00:00:00:09", "macvtap_mode": "vepa", "link": parent.index}
    macvtap = links.add("mv0", "macvtap", "above", **settings)
    links.add_veth("va", "vb", "pair")
    links.set(tap, master=bridge.index, mtu=1400, state="up", address="fe:00:00:00:00:01")
    links.receive_all_multicast(several)
    links.set(macvtap, kind="macvtap", macvtap_mode="bridge")
    run("ip", "link", "property", "add", "dev", "vb", "altname", "vb-too", "altname", LONG)
    found = {link.name: link for link in links.all()}
    shown = [as_ip_says(each) for each in json.loads(run("ip", "-json", "-details", "link", "show"))]
    assert [{key: getattr(found[each["name"]], key) for key in each} for each in shown] == shown
    assert len(found) == len(shown)
    assert (found["tap0"].master, found["tap1"].master) == (bridge.index, None)
    assert (found["mv0"].parent, found["mv0"].macvtap_mode) == (parent.index, "bridge")
    assert found["va"].parent == found["vb"].index
    assert found[INTERFACE].parent is None  # its other end is in another namespace
    assert not any(link.is_open or link.half_made for link in found.values())
    assert [links.find(name) for name in ("vb", "vb-too", LONG)] == [found["vb"]] * 3
    assert links.find("nobody") is links.find(LONG + "-not") is None
    links.set(tap, master=0)
    links.set(several, state="down")
    assert links.get("tap0").master is None


@one_host
def test_more_devices_than_one_answer_holds_are_all_listed(host: World, tmp_path: Any) -> None:
    orders = tmp_path / "orders"
    orders.write_text("".join(f"link add many{each} type veth peer name yet{each}\n" for each in range(60)))
    run("ip", "-batch", str(orders))
    names = {link.name for link in host.pluggers._links.all()}
    assert {f"{name}{each}" for name in ("many", "yet") for each in range(60)} < names


@one_host
def test_what_the_kernel_refuses_is_told(host: World) -> None:
    links = host.pluggers._links
    links.add_veth("va", "vb", "pair")
    with pytest.raises(HostFailure, match=r"refused to make bridge va: .*File exists"):
        links.add("va", "bridge", "")
    with pytest.raises(HostFailure, match=r"refused to set .*: .*Invalid argument \(mtu greater than"):
        links.set(links.get("va"), mtu=1 << 20)
    with pytest.raises(HostFailure, match=r"no device va-not on this host"):
        links.get("va-not")
    gone = Link(index=999_999, name="gone", kind="", mac="", mtu=0, up=False)
    links.delete([gone])
    with pytest.raises(HostFailure, match=r"No such device"):
        links.set(gone, state="up")


@one_host
def test_a_list_that_changed_while_it_was_made_is_made_again(
    host: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, interrupted = rtnetlink._asked, [0x10, 0x10, 0]

    def disturbed(kind: int, flags: int, body: bytes) -> Any:
        told = interrupted.pop(0)
        return [(told, answer) for _, answer in asked(kind, flags, body)]

    monkeypatch.setattr(rtnetlink, "_asked", disturbed)
    assert len(rtnetlink.dump(rtnetlink.GET_LINK, link_request())) == 2
    assert interrupted == []


@one_host
def test_the_addresses_of_a_device_are_its_own_and_not_link_local(host: World) -> None:
    links = host.pluggers._links
    run("sysctl", "-qw", f"net.ipv6.conf.{INTERFACE}.disable_ipv6=0")
    run("ip", "link", "set", "lo", "up")
    for address in ("192.0.2.7/24", "2001:db8::7/64", "fe80::7/64"):
        run("ip", "address", "add", address, "dev", INTERFACE)
    assert sorted(links.addresses(links.get(INTERFACE))) == ["192.0.2.7", "2001:db8::7"]
