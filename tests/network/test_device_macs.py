"""A port that is a whole device of its host has that device's MAC address, as long as it is bound there."""

from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient

from kedge.core import binding
from kedge.core.binding import Bound
from kedge.model.network import VifType

from .rest_world import SERVER, make_network, make_port, make_subnet, ok, refused

MAC_H1, MAC_H2 = "b4:96:91:34:f4:aa", "b4:96:91:34:f4:bb"


@pytest.fixture
def device(api: TestClient, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """A port that is bound nowhere, where a driver binds physical functions."""
    drivers = {**binding.drivers(), "macvtap": lambda *_: Bound("macvtap", VifType.MACVTAP, {})}
    monkeypatch.setattr(binding, "drivers", lambda: drivers)
    network = make_network(api)
    make_subnet(api, network["id"], "2001:db8:0:1::/64", ipv6_ra_mode="slaac")
    wanted = {"binding:host_id": "", "binding:vnic_type": "direct-physical", "device_id": SERVER}
    yield make_port(api, network["id"], **wanted)


def mac(api: TestClient, port: dict[str, Any]) -> str:
    shown = ok(api.get(f"ports/{port['id']}"))["port"]
    octets = shown["mac_address"].split(":")
    (address,) = shown["fixed_ips"]
    assert address["ip_address"].endswith(f"{int(octets[4], 16):x}{octets[5]}"), "made of the MAC address"
    return str(shown["mac_address"])


def bind(api: TestClient, port: dict[str, Any], host: str, profile: Any) -> None:
    body = {"port": {"binding:host_id": host, "binding:profile": profile}}
    ok(api.put(f"ports/{port['id']}", json=body))


def test_the_address_goes_from_device_to_device(api: TestClient, device: dict[str, Any]) -> None:
    path = f"ports/{device['id']}/bindings"
    bind(api, device, "h1", {"device_mac_address": MAC_H1})
    assert mac(api, device) == MAC_H1
    new = {"host": "h2", "vnic_type": "direct-physical", "profile": {"device_mac_address": MAC_H2}}
    ok(api.post(path, json={"binding": new}), 201)
    assert mac(api, device) == MAC_H1, "an INACTIVE binding changes nothing"
    for host, expected in (("h2", MAC_H2), ("h1", MAC_H1)):
        ok(api.put(f"{path}/{host}/activate"))
        assert mac(api, device) == expected
    ok(api.put("binding-switch", json={"switch": {"device_id": SERVER, "host": "h2"}}))
    assert mac(api, device) == MAC_H2
    ok(api.put(f"{path}/h2", json={"binding": {"profile": {"device_mac_address": MAC_H1}}}))
    assert mac(api, device) == MAC_H1


@pytest.mark.parametrize("how", ["profile", "unbound", "deleted"])
def test_a_device_that_is_left_has_its_address_for_itself(
    api: TestClient, device: dict[str, Any], how: str
) -> None:
    bind(api, device, "h1", {"device_mac_address": MAC_H1})
    if how == "profile":
        bind(api, device, "h1", {})
    elif how == "unbound":
        bind(api, device, "", {})
    else:
        ok(api.delete(f"ports/{device['id']}/bindings/h1"), 204)
    left = mac(api, device)
    assert left.startswith("fa:16:3e:")
    other = make_port(api, device["network_id"], mac_address=MAC_H1)
    refused(
        api.put(
            f"ports/{device['id']}",
            json={"port": {"binding:host_id": "h2", "binding:profile": {"device_mac_address": MAC_H1}}},
        ),
        409,
        "MacAddressInUse",
    )
    assert (mac(api, device), mac(api, other)) == (left, MAC_H1)


@pytest.mark.parametrize("wrong", [5, ["x"], "01:00:5e:00:00:01", "nonsense"])
def test_what_is_no_address_is_refused(api: TestClient, device: dict[str, Any], wrong: Any) -> None:
    body = {"port": {"binding:host_id": "h1", "binding:profile": {"device_mac_address": wrong}}}
    refused(api.put(f"ports/{device['id']}", json=body), 400, "InvalidInput")
    assert ok(api.get(f"ports/{device['id']}"))["port"] == device


def test_other_ports_keep_theirs(api: TestClient, device: dict[str, Any]) -> None:
    port = make_port(api, device["network_id"], **{"binding:host_id": ""})
    bind(api, port, "h1", {"device_mac_address": MAC_H1})
    assert mac(api, port) == port["mac_address"]
