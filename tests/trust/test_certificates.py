"""Certificates: who is let in, who is not, and what is never overwritten."""

import datetime
import socket
import ssl
import threading
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from kedge.model.errors import BadRequest, Conflict, NotFound
from kedge.serving.protocol import holder_of
from kedge.trust.certificates import CertificateAuthority, Credentials, Role, client_context, server_context


@pytest.fixture
def authority(tmp_path: Path) -> CertificateAuthority:
    return CertificateAuthority.create(tmp_path / "ca")


def handshake(server: ssl.SSLContext, client: ssl.SSLContext, name: str = "127.0.0.1") -> tuple[Any, Any]:
    """The certificate that each side saw of the other, or the error that it met."""
    left, right = socket.socketpair()
    seen: dict[str, Any] = {}

    def serve() -> None:
        try:
            with server.wrap_socket(left, server_side=True) as connection:
                connection.recv(1)
                seen["server"] = connection.getpeercert()
                connection.send(b"x")
        except OSError as error:
            seen["server"] = error
        finally:
            left.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        with client.wrap_socket(right, server_hostname=name) as connection:
            connection.send(b"x")
            connection.recv(1)
            seen["client"] = connection.getpeercert()
            assert connection.version() == "TLSv1.3"
    except OSError as error:
        seen["client"] = error
    finally:
        right.close()
        thread.join()
    return seen["server"], seen["client"]


def test_both_sides_know_each_other(authority: CertificateAuthority, tmp_path: Path) -> None:
    agent = authority.issue("h1", Role.AGENT, ["127.0.0.1"], tmp_path)
    control = authority.issue("control", Role.CONTROL, ["127.0.0.1"], tmp_path)
    at_server, at_client = handshake(server_context(agent), client_context(control))
    assert holder_of(at_server) == {"name": "control", "role": "control"}
    assert holder_of(at_client) == {"name": "h1", "role": "agent"}


def test_a_certificate_of_another_authority_is_refused(
    authority: CertificateAuthority, tmp_path: Path
) -> None:
    agent = authority.issue("h1", Role.AGENT, ["127.0.0.1"], tmp_path)
    other = CertificateAuthority.create(tmp_path / "other")
    theirs = other.issue("control", Role.CONTROL, ["127.0.0.1"], tmp_path / "theirs")
    disguised = Credentials(theirs.certificate, theirs.key, agent.ca)
    at_server, _ = handshake(server_context(agent), client_context(disguised))
    assert isinstance(at_server, ssl.SSLError)
    _, at_client = handshake(server_context(disguised), client_context(agent))
    assert isinstance(at_client, ssl.SSLCertVerificationError)


def test_a_client_without_a_certificate_is_refused(authority: CertificateAuthority, tmp_path: Path) -> None:
    agent = authority.issue("h1", Role.AGENT, ["127.0.0.1"], tmp_path)
    bare = ssl.create_default_context(cafile=str(agent.ca))
    at_server, _ = handshake(server_context(agent), bare)
    assert isinstance(at_server, ssl.SSLError)


def test_a_client_checks_the_address(authority: CertificateAuthority, tmp_path: Path) -> None:
    agent = authority.issue("h1", Role.AGENT, ["192.0.2.11"], tmp_path)
    control = authority.issue("control", Role.CONTROL, [], tmp_path)
    _, at_client = handshake(server_context(agent), client_context(control), "192.0.2.12")
    assert isinstance(at_client, ssl.SSLCertVerificationError)
    _, at_client = handshake(server_context(agent), client_context(control), "192.0.2.11")
    assert holder_of(at_client)["name"] == "h1"


def test_an_old_tls_is_refused(authority: CertificateAuthority, tmp_path: Path) -> None:
    agent = authority.issue("h1", Role.AGENT, ["127.0.0.1"], tmp_path)
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    old.load_verify_locations(agent.ca)
    old.load_cert_chain(agent.certificate, agent.key)
    at_server, _ = handshake(server_context(agent), old)
    assert isinstance(at_server, ssl.SSLError)


def test_keys_are_for_their_owner_only(authority: CertificateAuthority, tmp_path: Path) -> None:
    made = authority.issue("h1", Role.AGENT, ["127.0.0.1"], tmp_path / "h1")
    for path in (made.key, tmp_path / "ca" / "ca.key"):
        assert path.stat().st_mode & 0o777 == 0o600
    assert {path.name for path in (tmp_path / "h1").iterdir()} == {"h1.pem", "h1.key", "ca.pem"}


def test_an_authority_is_never_overwritten(authority: CertificateAuthority, tmp_path: Path) -> None:
    before = (tmp_path / "ca" / "ca.key").read_bytes()
    with pytest.raises(Conflict, match="exists"):
        CertificateAuthority.create(tmp_path / "ca")
    (tmp_path / "ca" / "ca.pem").unlink()
    with pytest.raises(Conflict, match=r"ca\.key exists"):
        CertificateAuthority.open_or_create(tmp_path / "ca")
    assert (tmp_path / "ca" / "ca.key").read_bytes() == before


def test_a_certificate_is_renewed_by_issuing_it_again(
    authority: CertificateAuthority, tmp_path: Path
) -> None:
    first = authority.issue("h1", Role.AGENT, ["127.0.0.1"], tmp_path)
    serial = certificate_of(first).serial_number
    old_context = client_context(first)
    again = CertificateAuthority.open_or_create(tmp_path / "ca").issue(
        "h1", Role.AGENT, ["127.0.0.1"], tmp_path
    )
    assert certificate_of(again).serial_number != serial
    at_server, at_client = handshake(server_context(again), old_context)
    assert holder_of(at_server) == holder_of(at_client) == {"name": "h1", "role": "agent"}


def test_a_certificate_is_valid_now_and_not_forever(authority: CertificateAuthority, tmp_path: Path) -> None:
    made = certificate_of(authority.issue("h1", Role.AGENT, ["127.0.0.1"], tmp_path))
    now = datetime.datetime.now(datetime.UTC)
    assert made.not_valid_before_utc < now - datetime.timedelta(minutes=5)
    assert now + datetime.timedelta(days=700) < made.not_valid_after_utc < now + datetime.timedelta(days=740)
    constraints = made.extensions.get_extension_for_class(x509.BasicConstraints).value
    assert not constraints.ca


@pytest.mark.parametrize("name", ["", "a" * 65, "../h1", "h1/x", "h 1", ".h1", "h1\n"])
def test_odd_names_are_refused(authority: CertificateAuthority, tmp_path: Path, name: str) -> None:
    with pytest.raises(BadRequest):
        authority.issue(name, Role.AGENT, [], tmp_path)


def test_missing_files_are_named(authority: CertificateAuthority, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="nowhere"):
        CertificateAuthority.open(tmp_path / "nowhere")
    made = authority.issue("h1", Role.AGENT, [], tmp_path)
    made.key.unlink()
    with pytest.raises(NotFound, match=r"h1\.key"):
        server_context(made)


def test_a_key_of_another_certificate_is_refused(authority: CertificateAuthority, tmp_path: Path) -> None:
    h1, h2 = (authority.issue(name, Role.AGENT, [], tmp_path) for name in ("h1", "h2"))
    with pytest.raises(BadRequest, match=r"h2\.key"):
        server_context(Credentials(h1.certificate, h2.key, h1.ca))


def certificate_of(credentials: Credentials) -> x509.Certificate:
    return x509.load_pem_x509_certificate(credentials.certificate.read_bytes())


def test_what_still_serves_is_kept(tmp_path: Path) -> None:
    authority = CertificateAuthority.create(tmp_path)

    def kept_or_issued(*addresses: str, role: Role = Role.CONTROL) -> bytes:
        return authority.kept_or_issued("control", role, addresses, tmp_path).certificate.read_bytes()

    first = kept_or_issued("192.0.2.1")
    assert kept_or_issued("192.0.2.1") == first
    second = kept_or_issued("192.0.2.1", "192.0.2.2")
    assert second != first
    assert kept_or_issued("192.0.2.2") == second
    third = kept_or_issued("192.0.2.2", role=Role.AGENT)
    assert third != second
    (tmp_path / "control.key").unlink()
    fourth = kept_or_issued("192.0.2.2", role=Role.AGENT)
    assert fourth != third
    (tmp_path / "control.pem").write_text("no certificate")
    assert kept_or_issued("192.0.2.2", role=Role.AGENT) not in (fourth, b"no certificate")


def test_another_authoritys_certificate_is_not_kept(tmp_path: Path) -> None:
    other = CertificateAuthority.create(tmp_path / "other").issue("control", Role.CONTROL, [], tmp_path)
    before = other.certificate.read_bytes()
    own = CertificateAuthority.create(tmp_path / "own")
    assert own.kept_or_issued("control", Role.CONTROL, [], tmp_path).certificate.read_bytes() != before
