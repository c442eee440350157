"""The certificates by which agents and control plane know each other, from one small authority of their own.

A certificate says who its holder is (common name: the host's name for an agent) and what it may do
(organizational unit: its `Role`). EC P-256 keys, TLS 1.3 only, and both sides always show a certificate.
To renew one, issue it again: the new one is valid beside the old.
"""

import datetime
import ipaddress
import os
import re
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from kedge.model.errors import BadRequest, Conflict, NotFound
from kedge.trust.tls import hardened

_CA_YEARS = 10
_CERTIFICATE_DAYS = 730
_RENEWED_BEFORE = datetime.timedelta(days=180)
# Clocks differ a little between hosts, so a certificate is valid from just before it is made.
_EARLIER = datetime.timedelta(minutes=10)
# RFC 5280 limits a common name to 64 characters; these are those of host names, and safe as a file's name.
_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,62}[A-Za-z0-9])?")


class Role(StrEnum):
    """What the holder of a certificate may do."""

    AGENT = "agent"
    CONTROL = "control"


@dataclass(frozen=True)
class Credentials:
    """The three files (PEM) that one process needs."""

    certificate: Path
    key: Path
    ca: Path


class CertificateAuthority:
    """A certificate authority in a directory: `ca.pem`, and `ca.key`, which never leaves it."""

    def __init__(
        self, directory: Path, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey
    ) -> None:
        self.directory = directory
        self._certificate = certificate
        self._key = key

    @classmethod
    def create(cls, directory: Path) -> "CertificateAuthority":
        """Make a new authority in `directory`; raises Conflict where there is one already."""
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        for file in ("ca.key", "ca.pem"):
            if (directory / file).exists():
                raise Conflict(
                    f"{directory / file} exists; every certificate would become worthless with a new authority. "
                    "Use the one that is there, or move it away yourself"
                )
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name(
            [
                x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Kedge"),
                x509.NameAttribute(NameOID.COMMON_NAME, "Kedge certificate authority"),
            ]
        )
        certificate = (
            _builder(name, name, key.public_key(), datetime.timedelta(days=365 * _CA_YEARS))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_key_usage(signs_certificates=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .sign(key, hashes.SHA256())
        )
        _write_new(directory / "ca.key", _key_pem(key), 0o600)
        _write_new(directory / "ca.pem", certificate.public_bytes(serialization.Encoding.PEM), 0o644)
        return cls(directory, certificate, key)

    @classmethod
    def open(cls, directory: Path) -> "CertificateAuthority":
        """The authority in `directory`; raises NotFound where there is none."""
        try:
            certificate = x509.load_pem_x509_certificate((directory / "ca.pem").read_bytes())
            key = serialization.load_pem_private_key((directory / "ca.key").read_bytes(), None)
        except FileNotFoundError as error:
            raise NotFound(
                f"there is no certificate authority in {directory}: {error.filename} is missing"
            ) from error
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise BadRequest(f"{directory / 'ca.key'} is not an elliptic-curve key; it was not made by Kedge")
        return cls(directory, certificate, key)

    @classmethod
    def open_or_create(cls, directory: Path) -> "CertificateAuthority":
        """The authority in `directory`, made where there is none yet."""
        return cls.open(directory) if (directory / "ca.pem").exists() else cls.create(directory)

    def kept_or_issued(self, name: str, role: Role, addresses: Sequence[str], directory: Path) -> Credentials:
        """The credentials in `directory` if they still serve for this, else new ones, as `issue` makes them.

        So processes that start with the same directory do not replace each other's files.
        """
        there = _files(name, directory)
        return there if self._serve(there, role, addresses) else self.issue(name, role, addresses, directory)

    def _serve(self, there: Credentials, role: Role, addresses: Sequence[str]) -> bool:
        try:
            certificate = x509.load_pem_x509_certificate(there.certificate.read_bytes())
            certificate.verify_directly_issued_by(self._certificate)
            names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
            (unit,) = certificate.subject.get_attributes_for_oid(NameOID.ORGANIZATIONAL_UNIT_NAME)
            client_context(there)
        except (
            OSError,
            ValueError,
            TypeError,
            InvalidSignature,
            x509.ExtensionNotFound,
            BadRequest,
            NotFound,
        ):
            return False
        left = certificate.not_valid_after_utc - datetime.datetime.now(datetime.UTC)
        needed = {_general_name(address) for address in addresses}
        return unit.value == role.value and needed <= set(names) and left > _RENEWED_BEFORE

    def issue(self, name: str, role: Role, addresses: Sequence[str], directory: Path) -> Credentials:
        """Make a key and a certificate for `name`, valid on `addresses` (IP addresses or DNS names).

        Writes `NAME.pem`, `NAME.key` and `ca.pem` into `directory`, replacing an earlier certificate of that name.
        """
        if not _NAME.fullmatch(name):
            raise BadRequest(
                f"{name!r} can't be a certificate's name: use letters, digits, '.', '-' and '_', at most 64"
            )
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name(
            [
                x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Kedge"),
                x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, role.value),
                x509.NameAttribute(NameOID.COMMON_NAME, name),
            ]
        )
        certificate = (
            _builder(
                subject,
                self._certificate.subject,
                key.public_key(),
                datetime.timedelta(days=_CERTIFICATE_DAYS),
            )
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(signs_certificates=False), critical=True)
            .add_extension(
                x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]),
                critical=False,
            )
            .add_extension(
                x509.SubjectAlternativeName([_general_name(a) for a in (*addresses, name)]), critical=False
            )
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False
            )
            .sign(self._key, hashes.SHA256())
        )
        directory.mkdir(parents=True, exist_ok=True)
        made = _files(name, directory)
        _replace(made.key, _key_pem(key), 0o600)
        _replace(made.certificate, certificate.public_bytes(serialization.Encoding.PEM), 0o644)
        _replace(made.ca, self._certificate.public_bytes(serialization.Encoding.PEM), 0o644)
        return made


def _files(name: str, directory: Path) -> Credentials:
    return Credentials(directory / f"{name}.pem", directory / f"{name}.key", directory / "ca.pem")


def server_context(credentials: Credentials) -> ssl.SSLContext:
    """For a server that lets in only holders of a certificate from the same authority."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    return _both_sides(context, credentials)


def client_context(credentials: Credentials) -> ssl.SSLContext:
    """For a client that shows its certificate, and checks the server's and the address in it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    return _both_sides(context, credentials)


def _both_sides(context: ssl.SSLContext, credentials: Credentials) -> ssl.SSLContext:
    for path in (credentials.certificate, credentials.key, credentials.ca):
        if not path.is_file():
            raise NotFound(f"the certificate file {path} is missing; make it with `kedge pki issue`")
    hardened(context).minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_mode = ssl.CERT_REQUIRED
    try:
        context.load_cert_chain(credentials.certificate, credentials.key)
        context.load_verify_locations(credentials.ca)
    except ssl.SSLError as error:
        raise BadRequest(f"{credentials.certificate} and {credentials.key} can't be used: {error}") from error
    return context


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, life: datetime.timedelta
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _EARLIER)
        .not_valid_after(now + life)
    )


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _general_name(address: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(address))
    except ValueError:
        pass
    try:
        return x509.DNSName(address)
    except ValueError as error:
        raise BadRequest(f"{address!r} is neither an IP address nor a DNS name") from error


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _write_new(path: Path, content: bytes, mode: int) -> None:
    # O_EXCL: two processes that make an authority at once can't both believe that theirs is the one.
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    except FileExistsError as error:
        raise Conflict(f"{path} was made by somebody else just now; use that authority") from error
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)


def _replace(path: Path, content: bytes, mode: int) -> None:
    # The file has its mode before it has its content, and whoever reads it sees the old one or the new one.
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    beside.unlink(missing_ok=True)
    _write_new(beside, content, mode)
    beside.replace(path)
