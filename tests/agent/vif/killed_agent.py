"""A process that plugs or unplugs, and is killed before its Nth change of the host.

    python -m tests.agent.vif.killed_agent BACKENDS VIF        (as JSON)

It reads lines `plug 3` or `unplug 3` and answers `killed`, or `done` if there are not so many changes. Each is done
by a fork, from a process that has no threads yet.
"""

import fcntl
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

from kedge.agent.vif import Pluggers, openflow, ovsdb, rtnetlink
from kedge.model.host import HostBackend
from kedge.model.network import Vif
from kedge.wire.encoding import from_json


class Killer:
    """Counts the changes of the host, and kills this process before the one numbered `last`."""

    def __init__(self, last: int) -> None:
        self._left = last

    def strike(self) -> None:
        self._left -= 1
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def before(self, work: Callable[..., Any], changes: Callable[..., bool]) -> Callable[..., Any]:
        def called(*args: Any, **kwargs: Any) -> Any:
            if changes(*args):
                self.strike()
            return work(*args, **kwargs)

        return called


def work(what: str, last: int, backend: HostBackend, vif: Vif) -> None:
    pluggers = Pluggers([backend])
    killer = Killer(last)
    rtnetlink.change = killer.before(rtnetlink.change, lambda *_: True)
    fcntl.ioctl = killer.before(fcntl.ioctl, lambda *_: True)
    ovsdb.change = killer.before(ovsdb.change, lambda *_: True)
    for order in ("add", "remove"):
        setattr(openflow, order, killer.before(getattr(openflow, order), lambda *_: True))
    if what == "plug":
        pluggers.plug(vif)
    else:
        pluggers.unplug(vif.port_id)


def main() -> None:
    backend, vif = from_json(HostBackend, sys.argv[1]), from_json(Vif, sys.argv[2])
    for line in sys.stdin:
        what, last = line.split()
        child = os.fork()
        if child == 0:
            code = 1
            try:
                work(what, int(last), backend, vif)
                code = 0
            finally:
                os._exit(code)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        print({0: "done", -signal.SIGKILL: "killed"}.get(status, f"failed with {status}"), flush=True)


if __name__ == "__main__":
    main()
