"""From the configuration to the guard."""

import ipaddress
import ssl
from pathlib import Path

import structlog
from starlette.types import ASGIApp

from kedge.config import AuthConfig
from kedge.model.errors import BadRequest
from kedge.trust.tls import hardened

from .attempts import Attempts
from .guard import Guard, Strategy
from .http_basic import HttpBasic
from .users import UsersFile

_log = structlog.get_logger()


def open_strategy(config: AuthConfig, address: str | None) -> Strategy | None:
    """How callers of a listener on `address` are known; None if nobody asks.

    Without a strategy in the configuration, nobody asks on loopback, and elsewhere it is `http_basic`. Raises
    BadRequest for an address that others reach without authentication, and for unusable users or clouds.
    """
    open_to_others = address is not None and not is_loopback(address)
    strategy = config.strategy or ("http_basic" if open_to_others or config.users else "none")
    if strategy == "none":
        if open_to_others:
            raise BadRequest(
                f'{address} can be reached from other machines, and [auth] strategy = "none" asks nobody who'
                ' calls; use "http_basic" or "keystone", or listen on loopback, 127.0.0.1.'
            )
        return None
    if strategy == "http_basic":
        if config.users is None:
            raise BadRequest(
                f"{address} can be reached from other machines, so callers must say who they are: make a file of"
                " users with `kedge users add NAME --role admin --file FILE`, and name it as users in [auth];"
                " or listen on loopback, 127.0.0.1."
            )
        return HttpBasic(UsersFile(config.users), attempts=Attempts(burst=config.failed_logins))
    from .keystone import Keystone  # noqa: PLC0415 - needs OpenStack's libraries

    return Keystone.of_cloud(config.cloud or "")


def client_tls(certificate: Path | None, key: Path | None) -> ssl.SSLContext | None:
    """TLS for clients, by the files of a certificate (with its chain) and its key; None without. Raises BadRequest."""
    if certificate is None or key is None:
        return None
    context = hardened(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
    try:
        context.load_cert_chain(certificate, key)
    except OSError as error:
        reason = error.strerror if error.errno else error
        raise BadRequest(f"Certificate {certificate} and key {key} can't be used: {reason}.") from error
    return context


def warn_of_plain_text(address: str) -> None:
    """Say what it means that clients on other machines are served without TLS."""
    if not is_loopback(address):
        _log.warning(
            "clients are served without TLS: whoever sees their traffic can read it, and use their passwords or"
            " tokens; name a certificate and a key in the configuration, or put a proxy with TLS before this",
            address=address,
        )


def guarded(app: ASGIApp, strategy: Strategy | None) -> ASGIApp:
    """`app`, behind a guard if there is a strategy."""
    return app if strategy is None else Guard(app, strategy)


def is_loopback(address: str) -> bool:
    """Whether only this machine reaches an address, which may be a name."""
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"
