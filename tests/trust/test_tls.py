"""What TLS is spoken: no suite that is too old is taken by any listener, or offered by any client."""

import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from kedge.auth import client_tls
from kedge.cli.client import ControlPlane
from kedge.cli.exits import NoControlPlane
from kedge.openstack.clouds import service
from kedge.serving.server import Listener, running
from kedge.trust.certificates import CertificateAuthority, Credentials, Role, client_context, server_context

CBC = "ECDHE-ECDSA-AES256-SHA384"
GCM = "ECDHE-ECDSA-AES128-GCM-SHA256"
CHACHA = "ECDHE-ECDSA-CHACHA20-POLY1305"


@pytest.fixture
def own(tmp_path: Path) -> Credentials:
    authority = CertificateAuthority.create(tmp_path / "ca")
    return authority.issue("control", Role.CONTROL, ["127.0.0.1"], tmp_path)


async def nothing(_scope: object, _receive: object, _send: object) -> None:
    """An application that does nothing."""


@pytest.fixture
def port(own: Credentials) -> Iterator[int]:
    listener = Listener.tcp("127.0.0.1", 0, tls=client_tls(own.certificate, own.key))
    with running(nothing, [listener]), capture_logs():
        yield listener.port


def client(own: Credentials, suite: str = "DEFAULT:@SECLEVEL=0") -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=own.ca)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(suite)
    return context


def spoken(context: ssl.SSLContext, port: int) -> tuple[str | None, str]:
    with (
        socket.create_connection(("127.0.0.1", port), 10) as plain,
        context.wrap_socket(plain, server_hostname="127.0.0.1") as made,
    ):
        found = made.cipher()
        assert found is not None
        return made.version(), found[0]


def test_clients_are_served_with_what_authenticates(port: int, own: Credentials) -> None:
    assert spoken(client(own, GCM), port) == ("TLSv1.2", GCM)
    assert spoken(client(own, CHACHA), port) == ("TLSv1.2", CHACHA)
    assert spoken(ssl.create_default_context(cafile=own.ca), port)[0] == "TLSv1.3"


@pytest.mark.parametrize("suite", [CBC, "ECDHE-ECDSA-AES128-SHA"])
def test_clients_that_know_only_cbc_are_refused(port: int, own: Credentials, suite: str) -> None:
    with pytest.raises(ssl.SSLError):
        spoken(client(own, suite), port)


def only(suites: "list[dict[str, object]]") -> bool:
    return bool(suites) and all(suite["aead"] for suite in suites)


def test_agents_and_control_planes_have_no_others(own: Credentials) -> None:
    for context in (server_context(own), client_context(own)):
        assert context.minimum_version is ssl.TLSVersion.TLSv1_3
        assert only(context.get_ciphers())  # type: ignore[arg-type]


class Cbc:
    """A server that speaks nothing but TLS 1.2 with CBC."""

    def __init__(self, own: Credentials) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(own.certificate, own.key)
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers(CBC)
        self.context = context
        self.server = socket.create_server(("127.0.0.1", 0))
        self.said: list[str] = []
        self.thread = threading.Thread(target=self._serve)
        self.thread.start()

    def _serve(self) -> None:
        try:
            connection, _ = self.server.accept()
            with connection, self.context.wrap_socket(connection, server_side=True):
                pass
        except OSError as error:
            self.said.append(getattr(error, "reason", None) or str(error))

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.server.getsockname()[1]}"


@pytest.fixture
def cbc(own: Credentials) -> Iterator[Cbc]:
    made = Cbc(own)
    yield made
    made.thread.join(10)
    made.server.close()


def test_the_command_line_offers_no_cbc(cbc: Cbc) -> None:
    with ControlPlane(cbc.url) as plane, pytest.raises(NoControlPlane):
        plane.get("/kedge/v1/hosts")
    cbc.thread.join(10)
    assert cbc.said == ["NO_SHARED_CIPHER"]


def test_openstack_s_services_are_offered_no_cbc(
    cbc: Cbc, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("openstack")
    (tmp_path / "clouds.yaml").write_text(
        f"clouds: {{there: {{auth_type: none, compute_endpoint_override: '{cbc.url}', verify: false}}}}"
    )
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(tmp_path / "clouds.yaml"))
    with pytest.raises(Exception, match=r"SSL|ssl|handshake"):
        service("there", "compute")[0].get("/")
    cbc.thread.join(10)
    assert cbc.said == ["NO_SHARED_CIPHER"]
