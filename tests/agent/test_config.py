"""The agent's configuration file."""

from pathlib import Path
from typing import Any

import pytest

from kedge.agent.config import load, read
from kedge.model.errors import BadRequest

GOOD: dict[str, Any] = {
    "host": "h1",
    "listen": "192.0.2.11:9799",
    "control": "https://192.0.2.10:9798/",
    "certificate": "/etc/kedge/h1.pem",
    "key": "/etc/kedge/h1.key",
    "ca": "/etc/kedge/ca.pem",
    "state_dir": "/var/lib/kedge",
    "libvirt_uri": "qemu+tls://192.0.2.11/system",
    "migrate_uri": "tcp://192.0.2.11",
    "backend": [{"driver": "macvtap", "mappings": {"physnet1": "lo", "physnet2": "no-such-device"}}],
}


def test_a_good_file(tmp_path: Path) -> None:
    file = tmp_path / "agent.toml"
    file.write_text(
        "".join(f'{key} = "{value}"\n' for key, value in GOOD.items() if key != "backend")
        + '[[backend]]\ndriver = "openvswitch"\nhybrid_plug = true\ndatapath_type = "netdev"\n'
        + '[backend.mappings]\nphysnet1 = "br-physnet1"\n[[backend]]\ndriver = "macvtap"\n'
    )
    config = load(file)
    assert (config.address, config.port, config.own_url) == ("192.0.2.11", 9799, "https://192.0.2.11:9799")
    assert config.control == ("https://192.0.2.10:9798",)
    assert config.libvirt_local_uri == "qemu:///system"
    ovs, macvtap = config.backends()
    assert (ovs.driver, ovs.hybrid_plug, ovs.datapath_type) == ("openvswitch", True, "netdev")
    assert ovs.mappings == {"physnet1": "br-physnet1"}
    assert (macvtap.driver, macvtap.integration_bridge) == ("macvtap", "br-int")


def test_mtus_are_those_of_the_devices_that_are_there() -> None:
    (backend,) = read(GOOD, "x").backends()
    assert backend.mtus == {"physnet1": int(Path("/sys/class/net/lo/mtu").read_text())}


def test_an_ipv6_address() -> None:
    config = read({**GOOD, "listen": "[2001:db8::1]:9799"}, "x")
    assert (config.address, config.own_url) == ("2001:db8::1", "https://[2001:db8::1]:9799")


def test_everything_that_is_wrong_is_said_at_once() -> None:
    bad = {
        **GOOD,
        "listen": "h1",
        "control": "http://192.0.2.10",
        "migrate_uri": "192.0.2.11",
        "hots": "h1",
        "backend": [{"drivr": "macvtap"}],
    }
    del bad["key"]
    with pytest.raises(BadRequest) as refused:
        read(bad, "agent.toml")
    assert sorted(str(refused.value).splitlines()) == [
        "agent.toml: `backend.1.driver` is missing.",
        "agent.toml: `backend.1.drivr` is not a known setting; is it misspelt?",
        "agent.toml: `control.1`: must be an https:// address, not 'http://192.0.2.10'.",
        "agent.toml: `hots` is not a known setting; is it misspelt?",
        "agent.toml: `key` is missing.",
        "agent.toml: `listen`: must be ADDRESS:PORT, not 'h1'.",
        "agent.toml: `migrate_uri`: '192.0.2.11' is no address of a migration's stream; write it as tcp://HOST.",
    ]


def test_listening_everywhere_needs_an_address_to_be_reached_at() -> None:
    with pytest.raises(BadRequest, match="needs `url`"):
        read({**GOOD, "listen": "0.0.0.0:9799"}, "x")
    config = read({**GOOD, "listen": "0.0.0.0:9799", "url": "https://192.0.2.11:9799"}, "x")
    assert config.own_url == "https://192.0.2.11:9799"


def test_a_file_that_can_not_be_read(tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match="no configuration file"):
        load(tmp_path / "none.toml")
    (tmp_path / "odd.toml").write_text("host = ")
    with pytest.raises(BadRequest, match="is not TOML"):
        load(tmp_path / "odd.toml")
    with pytest.raises(BadRequest, match="can't be read"):
        load(tmp_path)


def test_a_migration_network_has_a_name_like_a_labels_value() -> None:
    assert read(GOOD, "x").migration_network is None
    assert read({**GOOD, "migration_network": "rack-7/fast"}, "x").migration_network == "rack-7/fast"
    for name in ("", "a b", "x" * 64):
        with pytest.raises(BadRequest, match="`migration_network`: must be 1 to 63 letters"):
            read({**GOOD, "migration_network": name}, "x")


def test_consoles_listen_where_the_agent_does_unless_it_is_told(tmp_path: Path) -> None:
    assert read(GOOD, "x").consoles == read(GOOD, "x").address
    assert read(GOOD | {"graphics_address": "2001:DB8::1"}, "x").consoles == "2001:db8::1"
    everywhere = GOOD | {"listen": "0.0.0.0:9797", "url": "https://192.0.2.1:9797"}
    assert read(everywhere, "x").consoles == ""
    with pytest.raises(BadRequest, match="`graphics_address`: must be an IP address, not 'h1'"):
        read(GOOD | {"graphics_address": "h1"}, "x")
