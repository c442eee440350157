"""`keystone`: the X-Auth-Token of a request, which Keystone is asked about and whose answer is remembered."""

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from keystoneauth1.exceptions import ClientException
from starlette.datastructures import Headers

from kedge.model.caller import Identity, Role
from kedge.model.errors import Unreachable
from kedge.openstack.clouds import Service, service

from .errors import Unauthenticated
from .remembered import Clock, Remembered
from .turns import Turns

_VALID_S = 300.0
"""A token that was revoked is accepted for so long at most; keystonemiddleware's default."""

_INVALID_S = 10.0
_LONGEST = 8192
_AT_ONCE = 8
_WAITING = 256
_UNKNOWN = "The request you have made requires authentication."


class Keystone:
    """Knows callers by their tokens."""

    def __init__(self, client: Service, auth_url: str, *, clock: Clock = time.monotonic) -> None:
        self.challenge = f'Keystone uri="{auth_url}"'
        self._client = client
        self._valid = Remembered[Identity](clock=clock)
        # Kept apart, so that a flood of wrong tokens doesn't push out the right ones.
        self._invalid = Remembered[bool](clock=clock)
        self._turns = Turns[Identity | None](_AT_ONCE, waiting=_WAITING)

    @classmethod
    def of_cloud(cls, cloud: str, *, clock: Clock = time.monotonic) -> "Keystone":
        """The Keystone of a cloud in clouds.yaml, asked with that cloud's credentials. Raises BadRequest."""
        client, auth_url = service(cloud, "identity", version="3")
        return cls(client, auth_url, clock=clock)

    async def identify(self, headers: Headers, address: str) -> Identity:
        """The holder of the token.

        Raises Unauthenticated, Unreachable if Keystone can't be asked, and TooManyLogins.
        """
        given = headers.getlist("x-auth-token")
        if len(given) != 1 or not given[0] or len(given[0]) > _LONGEST:
            raise Unauthenticated(_UNKNOWN)
        secret = given[0].encode()
        known = self._valid.get(secret)
        if known is None and not self._invalid.get(secret):
            token = given[0]
            known = await self._turns.take(secret, address, lambda: self._ask(token))
        if known is None:
            raise Unauthenticated(_UNKNOWN, name="a token that Keystone does not know")
        return known

    def _ask(self, token: str) -> Identity | None:
        secret = token.encode()
        remembered = self._valid.get(secret)
        if remembered is not None:  # while this call waited for its turn
            return remembered
        try:
            answer = self._client.get(
                "/auth/tokens", headers={"X-Subject-Token": token}, params={"nocatalog": ""}, raise_exc=False
            )
        except ClientException as error:
            raise Unreachable(f"Keystone can't say whose token this is: {error}") from error
        if answer.status_code == 404:
            self._invalid.put(secret, True, _INVALID_S)
            return None
        if answer.status_code != 200:
            raise Unreachable(f"Keystone can't say whose token this is: HTTP {answer.status_code}.")
        described = answer.json()["token"]
        identity = identity_of(described)
        left_s = (datetime.fromisoformat(described["expires_at"]) - datetime.now(UTC)).total_seconds()
        self._valid.put(secret, identity, min(_VALID_S, left_s))
        return identity


def identity_of(token: Mapping[str, Any]) -> Identity:
    """The caller that a token describes, as Keystone's API v3 does.

    The roles of a token that is for a domain, or for nothing, say nothing about projects or the system, and count
    for nothing.
    """
    project = token.get("project", {}).get("id")
    scoped = project is not None or bool(token.get("system"))
    named = {role["name"].lower() for role in token.get("roles", ())} if scoped else set()
    return Identity(token["user"]["name"], frozenset(Role(name) for name in named & set(Role)), project)
