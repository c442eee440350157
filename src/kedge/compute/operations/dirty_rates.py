"""Having the hosts measure how fast servers write to their memory."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

from kedge.model.errors import BadRequest, KedgeError
from kedge.model.host_facts import MOST_MEASURED, FactsRequest
from kedge.model.server import Server

from ..hosts.agents import Agents

_AT_ONCE = 32
"""So many hosts measure at one time, each all of its servers."""

_LONGEST_S = 240
"""Nobody waits longer than that for an answer."""


def measured(agents: Agents, servers: Iterable[Server], seconds: int) -> dict[str, float]:
    """In MiB/s, by servers' ids; those that do not run, or whose host can't tell, are left out. Raises BadRequest."""
    on_host: dict[str, list[str]] = defaultdict(list)
    for server in servers:
        on_host[server.host].append(server.id)
    jobs = [
        (host, tuple(ids[first : first + MOST_MEASURED]))
        for host, ids in on_host.items()
        for first in range(0, len(ids), MOST_MEASURED)
    ]
    turns = -(-len(jobs) // _AT_ONCE)
    if turns * seconds > _LONGEST_S:
        raise BadRequest(
            f"Measuring on {len(on_host)} hosts takes {turns * seconds} s, and nobody waits longer than {_LONGEST_S} s;"
            " measure for fewer seconds, or fewer servers."
        )

    def ask(job: tuple[str, Sequence[str]]) -> dict[str, float]:
        host, ids = job
        try:
            facts = agents.agent(host).facts(FactsRequest(measure=tuple(ids), measure_s=seconds))
        except KedgeError:
            return {}
        return {server_id: rate for server_id, rate in facts.dirty_mib.items() if server_id in ids}

    found: dict[str, float] = {}
    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="dirty-rates") as pool:
        for answer in pool.map(ask, jobs):
            found |= answer
    return found
