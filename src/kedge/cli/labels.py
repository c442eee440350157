"""Labels as people type and read them: `key=value`, and `key-` to take one off."""

from collections.abc import Mapping, Sequence

from kedge.model.errors import BadRequest


def parse_labels(words: Sequence[str]) -> dict[str, str | None]:
    """The changes that the words ask for. Raises BadRequest for one that is no label, or a key that is named twice."""
    changes: dict[str, str | None] = {}
    for word in words:
        key, sign, value = word.partition("=")
        if not sign and not word.endswith("-"):
            raise BadRequest(f"{word!r} is no label; write key=value, or key- to take one off.")
        key = key if sign else word.removesuffix("-")
        if key in changes:
            raise BadRequest(f"The label {key!r} is named twice; name it once.")
        changes[key] = value if sign else None
    return changes


def in_words(labels: Mapping[str, str]) -> str:
    """As they are typed, one a line."""
    return "\n".join(f"{key}={value}" for key, value in sorted(labels.items()))
