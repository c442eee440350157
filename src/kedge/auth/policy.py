"""Looking into the table: which rule a request falls under, and whether it allows this caller."""

from collections import defaultdict
from collections.abc import Iterable

from kedge.model.caller import Identity, refusal
from kedge.model.errors import Forbidden

from .rules import ANYBODY, RULES, Of, Rule

_Segments = tuple[str, ...]


class Policy:
    """The rules, so arranged that the one for a request is found quickly."""

    def __init__(self, rules: Iterable[Rule] = RULES) -> None:
        self._rules: dict[tuple[str, int], list[tuple[_Segments, Rule]]] = defaultdict(list)
        for rule in rules:
            segments = _split(rule.path)
            self._rules[rule.method, len(segments)].append((segments, rule))
        for alternatives in self._rules.values():  # as written, before as a variable
            alternatives.sort(key=lambda each: [part.startswith("{") for part in each[0]])

    def rule_for(self, method: str, path: str) -> Rule | None:
        """The rule that a request falls under; None if there is none."""
        segments = _split(path)
        for pattern, rule in self._rules.get((method, len(segments)), ()):
            if all(_fits(part, segment) for part, segment in zip(pattern, segments, strict=True)):
                return rule
        return None

    def check(self, rule: Rule, caller: Identity) -> None:
        """Raises Forbidden if the rule is not for this caller."""
        if rule.roles is ANYBODY:
            return
        if not rule.roles & caller.roles:
            raise Forbidden(refusal(f"rule:{rule.name}", rule.roles, caller))
        if rule.of is Of.SYSTEM and caller.confined:
            raise Forbidden(
                f"rule:{rule.name} is disallowed by policy"
                f" ({caller.name} acts for project {caller.project}, and this belongs to no project)"
            )


def _split(path: str) -> _Segments:
    return tuple(path.split("/"))


def _fits(part: str, segment: str) -> bool:
    return part == segment or (part.startswith("{") and segment != "")
