"""What can go wrong with calls to a simulated host's agent, and where a test can look in."""

from collections.abc import Callable
from dataclasses import dataclass

from kedge.model.errors import KedgeError, Unreachable

Hook = Callable[[], None]


@dataclass
class _Rule:
    call: str
    hook: Hook
    after: bool
    skip: int
    times: int | None


class Faults:
    """The rules of one host: which of its agent's calls go wrong, when, and how often."""

    def __init__(self) -> None:
        self._rules: list[_Rule] = []

    def on(self, call: str, hook: Hook, *, after: bool = False, skip: int = 0, times: int | None = 1) -> None:
        """Run `hook` before a call of this name, or `after` its effect; what it raises is the call's answer.

        The first `skip` calls are let pass; then it happens `times` times, or always if that is None.
        """
        self._rules.append(_Rule(call, hook, after, skip, times))

    def fail(
        self, call: str, error: KedgeError, *, after: bool = False, skip: int = 0, times: int | None = 1
    ) -> None:
        """Let the call fail with `error`; `after`: its effect is there all the same."""

        def hook() -> None:
            raise error

        self.on(call, hook, after=after, skip=skip, times=times)

    def lose_reply(self, call: str, *, skip: int = 0, times: int | None = 1) -> None:
        """Let the call have its effect, and its answer get lost."""
        self.fail(call, Unreachable(f"the answer to {call} got lost"), after=True, skip=skip, times=times)

    def clear(self) -> None:
        """From now on nothing goes wrong."""
        self._rules.clear()

    def strike(self, call: str, *, after: bool) -> None:
        """Called around every call; raises what the rules say."""
        for rule in list(self._rules):
            if rule.call != call or rule.after != after:
                continue
            if rule.skip:
                rule.skip -= 1
                continue
            if rule.times is not None:
                rule.times -= 1
                if rule.times == 0:
                    self._rules.remove(rule)
            rule.hook()
