"""Nova's end of the events: its API `os-server-external-events`, and what its answers mean."""

import uuid
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import httpx2

from kedge.model.errors import KedgeError, Unreachable
from kedge.openstack.clouds import Service, service
from kedge.store.outbox import Event

PATH = "/os-server-external-events"
TIMEOUT_S = 30.0

Json = dict[str, Any]
Answer = tuple[int, Any]
"""An HTTP status and the JSON that came with it, None for anything else."""


class Refused(KedgeError):
    """Nova does not take events from Kedge, whatever they are: its credentials or rights are wrong."""


class Nova(Protocol):
    """A compute endpoint."""

    def post(self, body: Json) -> Answer:
        """Send a body of events. Raises Unreachable if there was no answer."""
        ...


class NovaAt:
    """The endpoint at a URL, which does not ask who calls."""

    def __init__(self, url: str, timeout_s: float = TIMEOUT_S) -> None:
        self._url = f"{url.rstrip('/')}{PATH}"
        self._timeout_s = timeout_s

    def post(self, body: Json) -> Answer:
        """Send a body of events."""
        try:
            answer = httpx2.post(self._url, json=body, timeout=self._timeout_s, trust_env=False)
        except httpx2.HTTPError as error:
            raise Unreachable(f"Nova at {self._url}: {error or type(error).__name__}") from error
        return answer.status_code, _json(answer)


class NovaOf:
    """The compute endpoint of a cloud in clouds.yaml."""

    def __init__(self, cloud: str, timeout_s: float = TIMEOUT_S) -> None:
        self._compute: Service = service(cloud, "compute")[0]
        self._cloud = cloud
        self._timeout_s = timeout_s

    def post(self, body: Json) -> Answer:
        """Send a body of events."""
        from keystoneauth1.exceptions import ClientException  # noqa: PLC0415 - not everybody has an OpenStack

        try:
            answer = self._compute.post(PATH, json=body, raise_exc=False, timeout=self._timeout_s)
        except ClientException as error:
            raise Unreachable(f"Nova of cloud {self._cloud}: {error}") from error
        return answer.status_code, _json(answer)


def deliver(nova: Nova, events: Sequence[Event]) -> Mapping[int, str]:
    """Send events; returns those that Nova will never take, by number, with the reason.

    Raises Unreachable if it is to be tried again, and Refused if that needs somebody's help first.
    """
    if not events:
        return {}
    status, content = nova.post({"events": [_body(event) for event in events]})
    if status in {401, 403}:
        raise Refused(f"Nova does not take events from Kedge (HTTP {status}: {_message(content)})")
    if status in {200, 202, 207}:
        return _turned_down(events, content)
    if status == 404:
        return {event.number: "Nova knows none of these servers" for event in events}
    if status != 400:
        raise Unreachable(f"Nova answered HTTP {status}: {_message(content)}")
    if len(events) == 1:
        return {events[0].number: _message(content)}
    # One that Nova does not understand is not to keep the others from it.
    return {number: why for event in events for number, why in deliver(nova, [event]).items()}


def is_for_nova(event: Event) -> bool:
    """Whether Nova could have a use for an event: it is of a VIF, and the server's id could be one of Nova's."""
    if not event.name.startswith("network-vif-"):
        return False
    try:
        return str(uuid.UUID(event.server_id)) == event.server_id.lower()
    except ValueError:
        return False


def _body(event: Event) -> Json:
    return {
        "name": event.name,
        "server_uuid": event.server_id,
        "tag": event.port_id,
        "status": event.status,
    }


def _turned_down(events: Sequence[Event], content: Any) -> Mapping[int, str]:
    """Nova answers for each event with a code: 404 for a server that it has not, 422 for one that is on no host."""
    answers = content.get("events", ()) if isinstance(content, dict) else ()
    codes = {
        (each.get("name"), each.get("server_uuid"), each.get("tag")): each.get("code", 200)
        for each in answers
    }
    found = {event.number: codes.get((event.name, event.server_id, event.port_id), 200) for event in events}
    return {number: f"Nova answered {code}" for number, code in found.items() if code != 200}


def _json(answer: Any) -> Any:
    try:
        return answer.json()
    except ValueError:
        return None


def _message(content: Any) -> str:
    """What Nova says of an error: `{"badRequest": {"code": 400, "message": …}}`."""
    for value in content.values() if isinstance(content, dict) else ():
        if isinstance(value, dict) and "message" in value:
            return str(value["message"])
    return "without a reason"
