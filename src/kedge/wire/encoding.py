"""How what Kedge's processes say to each other is written down: dataclasses and errors as JSON."""

from collections.abc import Hashable, Mapping
from functools import cache
from typing import Any, TypeVar, cast

from pydantic import TypeAdapter

from kedge.model import errors
from kedge.model.domain import HostView

T = TypeVar("T")


def seen(view: HostView) -> str:
    """What `ObserveRequest.seen` is compared with: domain state, job and transfer, as `running/1/running`."""
    return f"{view.domain}/{int(view.job)}/{view.transfer}"


@cache
def _adapter(kind: Hashable) -> TypeAdapter[Any]:
    return TypeAdapter(cast(type[Any], kind))


def to_json(value: object) -> bytes:
    """The JSON text of a dataclass of `kedge.model`."""
    return _adapter(cast(Hashable, type(value))).dump_json(value)


def from_json(kind: type[T], text: bytes | str) -> T:
    """The value of type `kind` in a JSON text; raises pydantic's ValidationError."""
    return cast(T, _adapter(cast(Hashable, kind)).validate_json(text))


def error_body(error: errors.KedgeError) -> dict[str, Any]:
    """An error as it goes over the wire: `{"error": {"type", "message"}}`, with `reasons` where it has some."""
    # A more special error than those that both sides know goes over as the one it is a case of.
    known = next(kind for kind in type(error).__mro__ if kind.__module__ == errors.__name__)
    body: dict[str, Any] = {"type": known.__name__, "message": str(error)}
    if isinstance(error, errors.CannotBind | errors.CannotMigrate):
        body |= {"message": error.summary, "reasons": list(error.reasons)}
    return {"error": body}


def error_from(body: Mapping[str, Any]) -> errors.KedgeError:
    """The error in an error body, as the class it was raised as; an unknown type becomes a plain KedgeError."""
    content = body.get("error")
    if not isinstance(content, Mapping):
        return errors.KedgeError("the answer has no error in it")
    message, kind = str(content.get("message", "")), getattr(errors, str(content.get("type")), None)
    if not (isinstance(kind, type) and issubclass(kind, errors.KedgeError)):
        return errors.KedgeError(message)
    if issubclass(kind, errors.CannotBind | errors.CannotMigrate):
        return kind(message, [str(reason) for reason in content.get("reasons", ())])
    return kind(message)
