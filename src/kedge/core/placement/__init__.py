"""Which host a server can go to, and which is best: pure, over records and facts that somebody else has gathered.

    fleet = Fleet(hosts, servers, promised)
    placement = place(server, fleet)            # .ranked, the best first; .left_out, with every reason
    fleet = fleet.promising(server.id, placement.best)      # ... and the next server

`fleet` is what placement sees, `demand` and `capacity` whether a server fits, `groups` and `labels` what operators
write on servers and hosts, `filters` and `weights` what leaves hosts out and what orders the others, `choose` both
together, and `plans` what is made of plans that were thought through to the end.
"""

from .capacity import memory_left, promisable, shortages
from .choose import LeftOut, Placement, Ranked, place, stands_against
from .demand import demand_of
from .fleet import Fleet, HostState, Load, Nics, PlacedServer, Promise
from .plans import candidates, left_out, reasons
from .weights import Weight

__all__ = [
    "Fleet",
    "HostState",
    "LeftOut",
    "Load",
    "Nics",
    "PlacedServer",
    "Placement",
    "Promise",
    "Ranked",
    "Weight",
    "candidates",
    "demand_of",
    "left_out",
    "memory_left",
    "place",
    "promisable",
    "reasons",
    "shortages",
    "stands_against",
]
