"""Looking into the table: which rule a request falls under, and whether it allows this caller."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from kedge.model.errors import Forbidden

from .identity import Identity, Role
from .rules import ANYBODY, ATTRIBUTE_RULES, RULES, AttributeRule, Of, Rule

_Segments = tuple[str, ...]


class Policy:
    """The rules, so arranged that the one for a request is found quickly."""

    def __init__(
        self, rules: Iterable[Rule] = RULES, attributes: Sequence[AttributeRule] = ATTRIBUTE_RULES
    ) -> None:
        self._rules: dict[tuple[str, int], list[tuple[_Segments, Rule]]] = defaultdict(list)
        for rule in rules:
            segments = _split(rule.path)
            self._rules[rule.method, len(segments)].append((segments, rule))
        for alternatives in self._rules.values():  # as written, before as a variable
            alternatives.sort(key=lambda each: [part.startswith("{") for part in each[0]])
        self._attributes = attributes

    def rule_for(self, method: str, path: str) -> tuple[Rule, Mapping[str, str]] | None:
        """The rule that a request falls under, and what stands for its variables; None if there is none."""
        segments = _split(path)
        for pattern, rule in self._rules.get((method, len(segments)), ()):
            if all(_fits(part, segment) for part, segment in zip(pattern, segments, strict=True)):
                return rule, {part[1:-1]: segment for part, segment in zip(pattern, segments, strict=True)}
        return None

    def check(self, rule: Rule, caller: Identity) -> None:
        """Raises Forbidden if the rule is not for this caller."""
        if rule.roles is ANYBODY:
            return
        if not rule.roles & caller.roles:
            raise Forbidden(_refusal(f"rule:{rule.name}", rule.roles, caller))
        if rule.of is Of.SYSTEM and caller.confined:
            raise Forbidden(
                f"rule:{rule.name} is disallowed by policy"
                f" ({caller.name} acts for project {caller.project}, and this belongs to no project)"
            )

    def check_attributes(self, rule: Rule, caller: Identity, resource: Mapping[str, Any]) -> None:
        """Raises Forbidden if the caller may not give one of these attributes."""
        for each in self._attributes:
            if rule.name not in each.of or each.roles & caller.roles:
                continue
            if each.attribute in resource and not each.harmless(resource[each.attribute]):
                rules = f"(rule:{rule.name} and rule:{rule.name}:{each.attribute})"
                raise Forbidden(_refusal(rules, each.roles, caller))

    def reads_bodies(self, rule: Rule, caller: Identity) -> bool:
        """Whether what the caller gives in the body matters."""
        return any(rule.name in each.of and not each.roles & caller.roles for each in self._attributes)


def _split(path: str) -> _Segments:
    return tuple(path.split("/"))


def _fits(part: str, segment: str) -> bool:
    return part == segment or (part.startswith("{") and segment != "")


def _refusal(rules: str, needed: Iterable[Role], caller: Identity) -> str:
    has = ", ".join(sorted(caller.roles)) or "none"
    return (
        f"{rules} is disallowed by policy"
        f" (it needs the role {' or '.join(sorted(needed))}; {caller.name} has {has})"
    )
