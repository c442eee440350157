"""Named migration policies, from the configuration."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType

from kedge.model.errors import BadRequest
from kedge.model.server import MigrationChange, MigrationOptions, Server

LABEL = "policy"
"""The label of a server that names its policy."""


class Policies:
    """Which options a migration has when nobody chooses them one by one."""

    def __init__(self, named: Mapping[str, MigrationOptions] = MappingProxyType({})) -> None:
        self.named = dict(named)

    def find(self, name: str) -> MigrationOptions:
        """The policy of this name. Raises BadRequest, which lists those that there are."""
        if name not in self.named:
            known = ", ".join(sorted(self.named)) or "none"
            raise BadRequest(f"There is no migration policy {name!r}; the configuration has {known}.")
        return self.named[name]

    def of(
        self, server: Server, name: str | None = None, options: MigrationOptions | None = None
    ) -> MigrationOptions:
        """The options that were given, else the named policy's, else those of the server's label, else the usual ones.

        Raises BadRequest for a policy that is not there, or with options beside a policy.
        """
        if options is not None:
            if name is not None:
                raise BadRequest(
                    "Give a policy or options, not both; `kedge migrations set` changes what runs."
                )
            return options
        if name is not None:
            return self.find(name)
        label = server.labels.get(LABEL)
        if label is None:
            return MigrationOptions()
        try:
            return self.find(label)
        except BadRequest as error:
            raise BadRequest(f"Server {server.name} has the label {LABEL}={label}. {error}") from None

    def of_each(
        self, servers: Iterable[Server], name: str | None = None
    ) -> tuple[dict[str, MigrationOptions], dict[str, str]]:
        """The options of each, by its id; and why some have none: their labels name a policy that is not there."""
        found, refused = {}, {}
        for each in servers:
            try:
                found[each.id] = self.of(each, name)
            except BadRequest as error:
                refused[each.id] = str(error)
        return found, refused

    def changed(self, options: MigrationOptions, change: MigrationChange) -> MigrationOptions:
        """The options of a migration under way with a change. Raises BadRequest, ValueError.

        What QEMU is told only when a transfer begins stays: auto-converge, the connections with their compression, and
        whether it may end in post-copy.
        """
        if change.policy is not None:
            policy = self.find(change.policy)
            if policy.may_go_over and not options.may_go_over:
                raise BadRequest(
                    f"Policy {change.policy} may end in post-copy, which must be allowed when a migration begins;"
                    " abort this one and migrate with that policy."
                )
            options = replace(
                policy,
                auto_converge=options.auto_converge,
                connections=options.connections,
                compression=options.compression,
                compression_level=options.compression_level,
                share_mib=options.share_mib,
                complete_now=options.complete_now,
            )
        return change.applied(options)
