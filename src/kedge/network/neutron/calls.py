"""One request to a Neutron. Whatever goes wrong becomes a KedgeError that names the cloud and the call."""

from collections.abc import Mapping
from typing import Any, Self

from keystoneauth1 import exceptions as identity

from kedge.model.errors import BadRequest, CannotBind, Conflict, Forbidden, KedgeError, NotFound, Unreachable
from kedge.openstack import clouds

Json = dict[str, Any]

TIMEOUT_S = 30.0
"""For one call. Neutron may try to bind for minutes where two clients are in each other's way."""


class NeutronFailure(KedgeError):
    """Neutron could not do what it was asked: a mistake of its own, or something that it does not explain."""

    status = 502


class Neutron:
    """The Neutron of one cloud. Connects at the first call; may be used by several threads."""

    def __init__(self, client: Any, cloud: str, *, timeout_s: float = TIMEOUT_S) -> None:
        self.cloud = cloud
        self._client = client  # keystoneauth's adapter of the cloud's network service
        self._timeout_s = timeout_s
        self._version: str | None = None
        self._extensions: frozenset[str] | None = None

    @classmethod
    def of_cloud(cls, cloud: str, *, timeout_s: float = TIMEOUT_S) -> Self:
        """The Neutron of a cloud in clouds.yaml. Raises BadRequest if there is no such cloud, or it is incomplete."""
        client, _ = clouds.service(cloud, "network")
        return cls(client, cloud, timeout_s=timeout_s)

    def get(self, path: str, **query: Any) -> Json:
        """GET; the answer's JSON."""
        return self._call("GET", path, params=query)

    def post(self, path: str, body: Mapping[str, Any]) -> Json:
        """POST; the answer's JSON."""
        return self._call("POST", path, json=body)

    def put(self, path: str, body: Mapping[str, Any] | None = None) -> Json:
        """PUT; the answer's JSON."""
        return self._call("PUT", path, **({} if body is None else {"json": body}))

    def delete(self, path: str) -> None:
        """DELETE."""
        self._call("DELETE", path)

    def offers(self, extension: str) -> bool:
        """Whether Neutron has an extension, by its alias. They are read once."""
        if self._extensions is None:
            listed = self.get("/extensions")["extensions"]
            self._extensions = frozenset(each["alias"] for each in listed)
        return extension in self._extensions

    def _call(self, method: str, path: str, **arguments: Any) -> Json:
        what = f"{method} {path} of the Neutron of cloud {self.cloud!r}"
        try:
            url = self._below() + path
            answer = self._client.request(url, method, raise_exc=False, timeout=self._timeout_s, **arguments)
        except (identity.ConnectFailure, identity.ConnectTimeout, identity.ConnectionError) as error:
            raise Unreachable(f"{what} got no answer: {error}") from error
        except (identity.Unauthorized, identity.AuthorizationFailure) as error:
            raise Forbidden(f"{what}: the cloud refuses Kedge's credentials: {error}") from error
        except identity.ClientException as error:
            raise NeutronFailure(f"{what} failed: {error}") from error
        if not answer.ok:
            raise _error_of(answer.status_code, answer, what)
        try:
            found: Json = answer.json() if answer.content else {}
        except ValueError as error:
            raise NeutronFailure(f"{what} was answered with something that is not JSON: {error}") from error
        return found

    def _below(self) -> str:
        """The version's part of the URL, if the endpoint lacks it."""
        if self._version is None:
            endpoint = self._client.get_endpoint()
            if not endpoint:
                raise BadRequest(
                    f"Cloud {self.cloud!r} has no network service in its catalog; "
                    "set network_endpoint_override for it in clouds.yaml."
                )
            self._version = "" if endpoint.rstrip("/").endswith("/v2.0") else "/v2.0"
        return self._version


def _error_of(status: int, answer: Any, what: str) -> KedgeError:
    kind, message = _said(answer)
    text = f"{what} was answered {status}: {message}"
    if kind == "PortBindingError":
        return CannotBind(text)
    if status in {401, 403}:
        return Forbidden(f"{text} (Kedge's user needs the roles admin and service)")
    kinds: Mapping[int, type[KedgeError]] = {400: BadRequest, 404: NotFound, 409: Conflict, 412: Conflict}
    if status in kinds:
        return kinds[status](text)
    return Unreachable(text) if status in {502, 503, 504} else NeutronFailure(text)


def _said(answer: Any) -> tuple[str, str]:
    """The type and the message of Neutron's error; of a proxy before it, what it says."""
    try:
        error = answer.json()["NeutronError"]
        return str(error["type"]), str(error["message"])
    except (ValueError, KeyError, TypeError):
        return "", str(answer.text)[:200] or "nothing more"
