"""Labels: what operators write on hosts and servers to find and to group them. Their form is Kubernetes'."""

from collections.abc import Mapping

from kedge.model.errors import BadRequest
from kedge.model.placement import LABEL_PART

MOST = 32
LONGEST = 63


def checked(labels: Mapping[str, str]) -> dict[str, str]:
    """The labels, if they are well formed and not too many. Raises BadRequest, which names the first that is not."""
    if len(labels) > MOST:
        raise BadRequest(f"{len(labels)} labels are too many; one thing may have {MOST}.")
    for key, value in labels.items():
        _check("key", key, key)
        _check("value", value, key)
    return dict(labels)


def changed(labels: Mapping[str, str], changes: Mapping[str, str | None]) -> dict[str, str]:
    """The labels with some set, and those taken off whose value is None. Raises BadRequest."""
    for key in changes:
        _check("key", key, key)
    merged: dict[str, str | None] = {**labels, **changes}
    return checked({key: value for key, value in merged.items() if value is not None})


def matches(labels: Mapping[str, str], wanted: Mapping[str, str]) -> bool:
    """Whether all that is wanted is there."""
    return all(labels.get(key) == value for key, value in wanted.items())


def _check(what: str, text: str, key: str) -> None:
    of = "" if what == "key" or not key else f" of {key[:LONGEST]!r}"
    if not text:
        raise BadRequest(f"A label's {what}{of} is empty; write it as key=value.")
    if len(text) > LONGEST:
        raise BadRequest(
            f"The label {what}{of} {text[:LONGEST]!r}… has {len(text)} characters; at most {LONGEST} are allowed."
        )
    if not LABEL_PART.fullmatch(text):
        raise BadRequest(
            f"The label {what}{of} {text!r} is not allowed; use letters, digits and inner '.', '_', '-' and '/'."
        )
