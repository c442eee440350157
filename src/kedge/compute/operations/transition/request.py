"""A transition as somebody asks for it: what is refused before anything is touched."""

from kedge.model.errors import BadRequest, Conflict
from kedge.model.server import Server
from kedge.model.transition import Transition, reported_in_words

from ...migrations.actor import Tools


def checked(wanted: Transition, tools: Tools) -> tuple[Server, ...]:
    """The servers on its hosts. Raises NotFound, BadRequest or Conflict, which say what to do."""
    if wanted.run:
        tools.commands.check(wanted.run)
    settings = tools.settings.all()
    for name in wanted.hosts:
        host = tools.agents.host(name)
        if not host.alive:
            why = "is forced down" if host.forced_down else "has a dead agent (no report lately)"
            raise Conflict(f"Host {name} {why}, so it can't be emptied; start `kedge agent` there first.")
        if name in settings and settings[name].disabled is not None:
            raise Conflict(
                f"Host {name} is disabled ({settings[name].disabled}). Its servers come back to it at the end:"
                f" enable it (`kedge hosts enable {name}`), or leave it out."
            )
        if wanted.is_met_by(host) and len(host.backends) == 1:
            raise BadRequest(f"Host {name} reports {reported_in_words(host)} already; leave it out.")
    return tuple(tools.servers.on(*wanted.hosts))
