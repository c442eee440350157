"""From the configuration to the guard, and what a started control plane refuses."""

import ssl
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest
from structlog.testing import capture_logs

from kedge.auth import client_tls, guarded, open_strategy, warn_of_plain_text
from kedge.auth.http_basic import HttpBasic
from kedge.auth.setup import is_loopback
from kedge.config import AuthConfig, ControlPlaneConfig, load
from kedge.model.errors import BadRequest
from kedge.trust.certificates import CertificateAuthority, Role

from ..processes import serving
from .conftest import HASHES, Inner, basic, write_users

ELSEWHERE = "192.0.2.1"


def test_on_loopback_nobody_is_asked_unless_users_are_named(tmp_path: Path) -> None:
    users = write_users(tmp_path / "users")
    for address in ("127.0.0.1", "::1", "localhost", None):
        assert open_strategy(AuthConfig(), address) is None
        assert open_strategy(AuthConfig(strategy="none"), address) is None
        assert isinstance(open_strategy(AuthConfig(users=users), address), HttpBasic)


def test_elsewhere_everybody_is_asked(tmp_path: Path) -> None:
    users = write_users(tmp_path / "users")
    assert isinstance(open_strategy(AuthConfig(users=users), ELSEWHERE), HttpBasic)
    with pytest.raises(BadRequest, match=r"kedge users add NAME .* loopback"):
        open_strategy(AuthConfig(), ELSEWHERE)
    with pytest.raises(
        BadRequest, match=r'192\.0\.2\.1 can be reached from other machines.*"none" asks nobody'
    ):
        open_strategy(AuthConfig(strategy="none"), ELSEWHERE)
    with pytest.raises(BadRequest, match="can't be read"):
        open_strategy(AuthConfig(users=tmp_path / "none"), ELSEWHERE)


@pytest.mark.parametrize(
    ("address", "only_here"),
    [("127.0.0.1", True), ("127.1.2.3", True), ("::1", True), ("localhost", True)]
    + [(each, False) for each in ("0.0.0.0", "::", "192.0.2.1", "::ffff:192.0.2.1", "kedge.example", "")],
)
def test_which_addresses_only_this_machine_reaches(address: str, only_here: bool) -> None:
    assert is_loopback(address) is only_here


def test_without_a_strategy_there_is_no_guard() -> None:
    inner = Inner()
    assert guarded(inner, None) is inner


def test_plain_text_is_warned_of_where_others_see_it() -> None:
    with capture_logs() as logs:
        warn_of_plain_text("127.0.0.1")
        assert not logs
        warn_of_plain_text(ELSEWHERE)
    assert "without TLS" in logs[0]["event"] and "passwords" in logs[0]["event"]


def test_certificates_for_clients(tmp_path: Path) -> None:
    made = CertificateAuthority.create(tmp_path / "ca").issue("api", Role.CONTROL, ["127.0.0.1"], tmp_path)
    assert client_tls(None, None) is None
    assert isinstance(client_tls(made.certificate, made.key), ssl.SSLContext)
    with pytest.raises(BadRequest, match="No such file"):
        client_tls(tmp_path / "none", made.key)
    with pytest.raises(BadRequest, match=r"api\.pem.*can't be used"):
        client_tls(made.certificate, made.certificate)
    with pytest.raises(BadRequest, match="come together"):
        load(None, {"certificate": made.certificate})


def test_a_started_control_plane_asks_over_tls_and_trusts_its_socket(tmp_path: Path) -> None:
    made = CertificateAuthority.create(tmp_path / "ca").issue("api", Role.CONTROL, ["127.0.0.1"], tmp_path)
    users = write_users(tmp_path / "users", {"root": "admin", "audit": "reader"})
    config = ControlPlaneConfig(
        state_dir=tmp_path / "state",
        socket=tmp_path / "k.sock",
        auth=AuthConfig(users=users),
        certificate=made.certificate,
        key=made.key,
    )
    with serving(config, tmp_path) as url:
        assert url.startswith("https://")
        context = ssl.create_default_context(cafile=str(tmp_path / "ca" / "ca.pem"))
        with httpx2.Client(base_url=url, verify=context, trust_env=False, timeout=20) as client:
            networks = "/network/v2.0/networks"
            assert client.get("/network").status_code == 200
            assert client.get(networks).status_code == 401
            assert client.get(networks, headers=basic("audit")).json() == {"networks": []}
            flat = {"network": {"provider:network_type": "flat", "provider:physical_network": "physnet1"}}
            assert client.post(networks, headers=basic("audit"), json=flat).status_code == 403
            assert client.post(networks, headers=basic("root"), json=flat).status_code == 201
            long = {"Authorization": "Basic " + "A" * 200_000}
            assert client.get(networks, headers=long).status_code in {400, 401, 431}
            users.write_text(f"late:{HASHES['audit']}:reader\n")
            assert client.get(networks, headers=basic("root")).status_code == 401
            late = basic("late", "audit's secret")
            assert len(client.get(networks, headers=late).json()["networks"]) == 1
        transport = httpx2.HTTPTransport(uds=str(tmp_path / "k.sock"))
        with httpx2.Client(transport=transport, base_url="http://kedge", timeout=20) as local:
            assert len(local.get(networks).json()["networks"]) == 1


def kedge(*arguments: str, typed: str = "") -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "kedge", *arguments]
    return subprocess.run(command, input=typed, capture_output=True, text=True, check=False)


def test_a_control_plane_for_others_needs_users(tmp_path: Path) -> None:
    base = ("serve", "--state-dir", str(tmp_path), "--socket", "", "--listen", "0.0.0.0:0")
    refused = kedge(*base)
    assert refused.returncode == 2
    assert "callers must say who they are" in refused.stderr and "kedge users add" in refused.stderr
    config = tmp_path / "kedge.toml"
    config.write_text(f'[auth]\nstrategy = "http_basic"\nusers = "{tmp_path}/none"\n')
    assert "can't be read" in kedge(*base, "--config", str(config)).stderr


def test_the_command_line_says_who_calls(tmp_path: Path) -> None:
    users = write_users(tmp_path / "users", {"root": "admin", "audit": "reader"})
    config = ControlPlaneConfig(state_dir=tmp_path, socket=None, auth=AuthConfig(users=users))
    create = ("networks", "create", "blue", "--physical-network", "physnet1")
    with serving(config, tmp_path) as url:
        as_root = url.replace("//", "//root:root's%20secret@")
        assert kedge("--url", as_root, *create).returncode == 0
        refused = kedge("--url", url.replace("//", "//audit:audit's%20secret@"), *create)
        assert (refused.returncode, "rule:create_network is disallowed" in refused.stderr) == (3, True)
        stranger = kedge("--url", url, "networks", "list")
        assert stranger.returncode == 1
        assert "The request you have made requires authentication." in stranger.stderr
    gone = kedge("--url", as_root, "networks", "list")
    assert gone.returncode == 5 and "No control plane answers" in gone.stderr
    assert "secret" not in gone.stderr
