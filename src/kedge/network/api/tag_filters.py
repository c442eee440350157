"""The filters by tags: `tags`, `tags-any`, `not-tags` and `not-tags-any`, each with tags between commas."""

from collections.abc import Collection

from starlette.datastructures import QueryParams

TAG_FILTERS = ("tags", "tags-any", "not-tags", "not-tags-any")


def tags_match(query: QueryParams, tags: Collection[str]) -> bool:
    """Whether a resource with these tags is asked for: by all of the filters that the query holds."""
    present = set(tags)
    for name in TAG_FILTERS:
        if name not in query:
            continue
        named = {tag for text in query.getlist(name) for tag in text.split(",")}
        found = bool(named & present) if name.endswith("any") else named <= present
        if found == name.startswith("not"):
            return False
    return True
