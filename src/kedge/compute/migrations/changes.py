"""What a person changes of a migration that is under way."""

from kedge.core.obstacles import asks_hosts, beyond
from kedge.model.errors import CannotMigrate, KedgeError
from kedge.model.host_facts import FactsRequest, HypervisorFacts
from kedge.model.server import Migration, MigrationChange, MigrationOptions

from ..hosts.agents import Agents
from .actor import Tools


def change(tools: Tools, migration_id: str, wanted: MigrationChange) -> Migration:
    """Change it, for its conductor's next look. Raises BadRequest, Conflict, and CannotMigrate as `check` does."""
    found = tools.migrations.find(migration_id)
    if wanted.policy is not None:
        check(tools.agents, found, tools.policies.changed(found.options, wanted))
    return tools.migrations.change(found.id, lambda options: tools.policies.changed(options, wanted))


def check(agents: Agents, migration: Migration, options: MigrationOptions) -> None:
    """Raises CannotMigrate if one of the migration's hosts can't do what these options ask for."""
    if not asks_hosts(options):
        return
    here, there = ((host, _facts(agents, host)) for host in (migration.source, migration.destination))
    obstacles = beyond(options, here, there)
    if obstacles:
        raise CannotMigrate("The migration can't be changed so", list(map(str, obstacles)))


def _facts(agents: Agents, host: str) -> HypervisorFacts:
    """What is not known stands in nobody's way."""
    try:
        return agents.agent(host).facts(FactsRequest()).hypervisor
    except KedgeError:
        return HypervisorFacts()
