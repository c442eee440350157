"""Who may call what: the one table. Attributes of bodies have theirs in `kedge.network.api.attributes`.

A route that has no row here is closed, to administrators too. Names and roles are Neutron's own defaults, with
these differences: an admin may do with bindings what the service role may (Neutron keeps that to the role), and
attributes are shown to whoever may see the resource.

A user of a project (see `Identity.confined`) deals with things of PROJECT only as far as they belong to that
project, and not at all with things of SYSTEM, which belong to none.
"""

from dataclasses import dataclass
from enum import Enum

from kedge.model.caller import Role

V2 = "/network/v2.0"
V1 = "/kedge/v1"
V21 = "/compute/v2.1"

READ = frozenset({Role.READER, Role.MEMBER, Role.SERVICE, Role.ADMIN})
WRITE = frozenset({Role.MEMBER, Role.ADMIN})
PLUG = frozenset({Role.MEMBER, Role.SERVICE, Role.ADMIN})
BIND = frozenset({Role.SERVICE, Role.ADMIN})
ADMIN = frozenset({Role.ADMIN})
ANYBODY = frozenset[Role]()
"""Even those who did not say who they are."""


class Of(Enum):
    """To whom the things behind a route belong."""

    ALL = "nobody in particular"
    PROJECT = "projects"
    SYSTEM = "whoever runs the cloud"


@dataclass(frozen=True)
class Rule:
    """One row: who may use `method` on paths like `path`, in which {…} stands for one segment."""

    method: str
    path: str
    name: str
    roles: frozenset[Role]
    of: Of
    waits: bool = False
    """Whether an answer may take long, and holds no thread meanwhile."""


def _tags(collection: str, writers: frozenset[Role]) -> tuple[Rule, ...]:
    path = f"{V2}/{collection}/{{id}}/tags"
    return (
        Rule("GET", path, f"get_{collection}_tags", READ, Of.PROJECT),
        Rule("PUT", path, f"update_{collection}_tags", writers, Of.PROJECT),
        Rule("DELETE", path, f"delete_{collection}_tags", writers, Of.PROJECT),
        Rule("GET", f"{path}/{{tag}}", f"get_{collection}_tags", READ, Of.PROJECT),
        Rule("PUT", f"{path}/{{tag}}", f"update_{collection}_tags", writers, Of.PROJECT),
        Rule("DELETE", f"{path}/{{tag}}", f"delete_{collection}_tags", writers, Of.PROJECT),
    )


RULES = (
    # What is on offer.
    Rule("GET", "/network", "versions", ANYBODY, Of.ALL),
    Rule("GET", "/network/", "versions", ANYBODY, Of.ALL),
    Rule("GET", "/openapi.json", "openapi", ANYBODY, Of.ALL),
    Rule("GET", "/docs", "openapi", ANYBODY, Of.ALL),
    Rule("GET", "/docs/oauth2-redirect", "openapi", ANYBODY, Of.ALL),
    Rule("GET", "/redoc", "openapi", ANYBODY, Of.ALL),
    Rule("GET", f"{V2}", "get_resources", READ, Of.ALL),
    Rule("GET", f"{V2}/", "get_resources", READ, Of.ALL),
    Rule("GET", f"{V2}/extensions", "get_extension", READ, Of.ALL),
    Rule("GET", f"{V2}/extensions/{{alias}}", "get_extension", READ, Of.ALL),
    # Networks, subnets and the pools that these take their blocks from.
    Rule("GET", f"{V2}/networks", "get_network", READ, Of.PROJECT),
    Rule("POST", f"{V2}/networks", "create_network", WRITE, Of.PROJECT),
    Rule("GET", f"{V2}/networks/{{id}}", "get_network", READ, Of.PROJECT),
    Rule("PUT", f"{V2}/networks/{{id}}", "update_network", WRITE, Of.PROJECT),
    Rule("DELETE", f"{V2}/networks/{{id}}", "delete_network", WRITE, Of.PROJECT),
    Rule("GET", f"{V2}/subnets", "get_subnet", READ, Of.PROJECT),
    Rule("POST", f"{V2}/subnets", "create_subnet", WRITE, Of.PROJECT),
    Rule("GET", f"{V2}/subnets/{{id}}", "get_subnet", READ, Of.PROJECT),
    Rule("PUT", f"{V2}/subnets/{{id}}", "update_subnet", WRITE, Of.PROJECT),
    Rule("DELETE", f"{V2}/subnets/{{id}}", "delete_subnet", WRITE, Of.PROJECT),
    Rule("GET", f"{V2}/subnetpools", "get_subnetpool", READ, Of.PROJECT),
    Rule("POST", f"{V2}/subnetpools", "create_subnetpool", WRITE, Of.PROJECT),
    Rule("GET", f"{V2}/subnetpools/{{id}}", "get_subnetpool", READ, Of.PROJECT),
    Rule("PUT", f"{V2}/subnetpools/{{id}}", "update_subnetpool", WRITE, Of.PROJECT),
    Rule("DELETE", f"{V2}/subnetpools/{{id}}", "delete_subnetpool", WRITE, Of.PROJECT),
    # Ports.
    Rule("GET", f"{V2}/ports", "get_port", READ, Of.PROJECT),
    Rule("POST", f"{V2}/ports", "create_port", PLUG, Of.PROJECT),
    Rule("GET", f"{V2}/ports/{{id}}", "get_port", READ, Of.PROJECT),
    Rule("PUT", f"{V2}/ports/{{id}}", "update_port", PLUG, Of.PROJECT),
    Rule("DELETE", f"{V2}/ports/{{id}}", "delete_port", PLUG, Of.PROJECT),
    # Bindings say where a server runs and how its host is built: not for those who only use it.
    Rule("GET", f"{V2}/ports/{{id}}/bindings", "get_port_binding", BIND, Of.SYSTEM),
    Rule("POST", f"{V2}/ports/{{id}}/bindings", "create_port_binding", BIND, Of.SYSTEM),
    Rule("GET", f"{V2}/ports/{{id}}/bindings/{{host}}", "get_port_binding", BIND, Of.SYSTEM),
    Rule("PUT", f"{V2}/ports/{{id}}/bindings/{{host}}", "update_port_binding", BIND, Of.SYSTEM),
    Rule("DELETE", f"{V2}/ports/{{id}}/bindings/{{host}}", "delete_port_binding", BIND, Of.SYSTEM),
    Rule("GET", f"{V2}/ports/{{id}}/bindings/{{host}}/preview", "get_port_binding", BIND, Of.SYSTEM),
    Rule("PUT", f"{V2}/ports/{{id}}/bindings/{{host}}/activate", "activate", BIND, Of.SYSTEM),
    Rule("PUT", f"{V2}/binding-switch", "activate", BIND, Of.SYSTEM),
    *_tags("networks", WRITE),
    *_tags("subnets", WRITE),
    *_tags("subnetpools", WRITE),
    *_tags("ports", PLUG),
    # Quotas: whose they are is judged there.
    Rule("GET", f"{V2}/quotas", "get_quota", READ, Of.SYSTEM),
    Rule("GET", f"{V2}/quotas/{{project}}", "get_quota", READ, Of.ALL),
    Rule("PUT", f"{V2}/quotas/{{project}}", "update_quota", ADMIN, Of.SYSTEM),
    Rule("DELETE", f"{V2}/quotas/{{project}}", "delete_quota", ADMIN, Of.SYSTEM),
    Rule("GET", f"{V2}/quotas/{{project}}/default", "get_quota", READ, Of.ALL),
    Rule("GET", f"{V2}/quotas/{{project}}/details", "get_quota", READ, Of.ALL),
    # Agents.
    Rule("GET", f"{V2}/agents", "get_agent", READ, Of.SYSTEM),
    Rule("GET", f"{V2}/agents/{{id}}", "get_agent", READ, Of.SYSTEM),
    Rule("PUT", f"{V2}/agents/{{id}}", "update_agent", ADMIN, Of.SYSTEM),
    Rule("DELETE", f"{V2}/agents/{{id}}", "delete_agent", ADMIN, Of.SYSTEM),
    # Kedge's own API.
    Rule("GET", f"{V1}/hosts", "get_host", READ, Of.SYSTEM),
    Rule("PUT", f"{V1}/hosts/{{host}}/forced-down", "update_host", ADMIN, Of.SYSTEM),
    Rule("PUT", f"{V1}/hosts/{{host}}/disabled", "update_host", ADMIN, Of.SYSTEM),
    Rule("PUT", f"{V1}/hosts/{{host}}/limits", "update_host", ADMIN, Of.SYSTEM),
    Rule("PATCH", f"{V1}/hosts/{{host}}/labels", "update_host", ADMIN, Of.SYSTEM),
    Rule("GET", f"{V1}/servers", "get_server", READ, Of.SYSTEM),
    Rule("POST", f"{V1}/servers", "create_server", ADMIN, Of.SYSTEM),
    Rule("POST", f"{V1}/servers/adopt", "adopt_server", ADMIN, Of.SYSTEM),
    Rule("GET", f"{V1}/servers/{{server}}", "get_server", READ, Of.SYSTEM),
    Rule("DELETE", f"{V1}/servers/{{server}}", "delete_server", ADMIN, Of.SYSTEM),
    Rule("PATCH", f"{V1}/servers/{{server}}/labels", "update_server", ADMIN, Of.SYSTEM),
    Rule("POST", f"{V1}/servers/{{server}}/plan", "plan_migration", READ, Of.SYSTEM),
    Rule("GET", f"{V1}/servers/{{server}}/candidates", "plan_migration", READ, Of.SYSTEM),
    Rule("POST", f"{V1}/servers/{{server}}/forecast", "forecast_migration", ADMIN, Of.SYSTEM),
    Rule("POST", f"{V1}/servers/{{server}}/migrate", "migrate_server", ADMIN, Of.SYSTEM),
    Rule("POST", f"{V1}/servers/{{server}}/rewire", "rewire_server", ADMIN, Of.SYSTEM),
    Rule("POST", f"{V1}/servers/{{server}}/rewire/plan", "plan_rewiring", READ, Of.SYSTEM),
    Rule("GET", f"{V1}/rewirings", "get_rewiring", READ, Of.SYSTEM),
    Rule("GET", f"{V1}/rewirings/{{id}}", "get_rewiring", READ, Of.SYSTEM),
    Rule("DELETE", f"{V1}/rewirings/{{id}}", "abort_rewiring", ADMIN, Of.SYSTEM),
    Rule("GET", f"{V1}/policies", "get_policy", READ, Of.SYSTEM),
    Rule("GET", f"{V1}/migrations", "get_migration", READ, Of.SYSTEM),
    Rule("GET", f"{V1}/migrations/{{id}}", "get_migration", READ, Of.SYSTEM, waits=True),
    Rule("PATCH", f"{V1}/migrations/{{id}}", "update_migration", ADMIN, Of.SYSTEM),
    Rule("POST", f"{V1}/migrations/{{id}}/force-complete", "update_migration", ADMIN, Of.SYSTEM),
    Rule("DELETE", f"{V1}/migrations/{{id}}", "abort_migration", ADMIN, Of.SYSTEM),
    Rule("GET", f"{V1}/operations", "get_operation", ADMIN, Of.SYSTEM),
    Rule("POST", f"{V1}/operations", "create_operation", ADMIN, Of.SYSTEM),
    Rule("POST", f"{V1}/operations/simulate", "simulate_operation", ADMIN, Of.SYSTEM),
    Rule("GET", f"{V1}/operations/{{id}}", "get_operation", ADMIN, Of.SYSTEM),
    Rule("POST", f"{V1}/operations/{{id}}/pause", "update_operation", ADMIN, Of.SYSTEM),
    Rule("POST", f"{V1}/operations/{{id}}/resume", "update_operation", ADMIN, Of.SYSTEM),
    Rule("POST", f"{V1}/operations/{{id}}/abort", "abort_operation", ADMIN, Of.SYSTEM),
    Rule("PUT", f"{V1}/operations/{{id}}/limits", "update_operation", ADMIN, Of.SYSTEM),
    Rule("GET", f"{V1}/events", "get_event", READ, Of.SYSTEM, waits=True),
    # Nova's role. Its names, its roles; what an action needs is judged where it is parsed.
    Rule("GET", "/compute", "versions", ANYBODY, Of.ALL),
    Rule("GET", "/compute/", "versions", ANYBODY, Of.ALL),
    Rule("GET", f"{V21}", "versions", ANYBODY, Of.ALL),
    Rule("GET", f"{V21}/", "versions", ANYBODY, Of.ALL),
    Rule("GET", f"{V21}/servers", "os_compute_api:servers:index", READ, Of.PROJECT),
    Rule("GET", f"{V21}/servers/detail", "os_compute_api:servers:detail", READ, Of.PROJECT),
    Rule("GET", f"{V21}/servers/{{id}}", "os_compute_api:servers:show", READ, Of.PROJECT),
    Rule("POST", f"{V21}/servers/{{id}}/action", "os_compute_api:servers:action", WRITE, Of.PROJECT),
    Rule(
        "GET", f"{V21}/servers/{{id}}/migrations", "os_compute_api:servers:migrations:index", ADMIN, Of.SYSTEM
    ),
    Rule(
        "GET",
        f"{V21}/servers/{{id}}/migrations/{{migration}}",
        "os_compute_api:servers:migrations:show",
        ADMIN,
        Of.SYSTEM,
    ),
    Rule(
        "POST",
        f"{V21}/servers/{{id}}/migrations/{{migration}}/action",
        "os_compute_api:servers:migrations:force_complete",
        ADMIN,
        Of.SYSTEM,
    ),
    Rule(
        "DELETE",
        f"{V21}/servers/{{id}}/migrations/{{migration}}",
        "os_compute_api:servers:migrations:delete",
        ADMIN,
        Of.SYSTEM,
    ),
    Rule("GET", f"{V21}/os-migrations", "os_compute_api:os-migrations:index", ADMIN, Of.SYSTEM),
    Rule("GET", f"{V1}/doctor", "examine", READ, Of.SYSTEM),
    Rule("POST", f"{V1}/doctor/repair", "repair", ADMIN, Of.SYSTEM),
)
