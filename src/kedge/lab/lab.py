"""The lab: real hypervisor hosts on one machine, each in its own namespaces.

    with Lab.up() as lab:
        lab.hosts["h1"].virsh("list")
        lab.observer.run(["ping", "-c1", "198.51.100.10"])

There is one lab on a machine at a time, unless the environment names another one with KEDGE_LAB. Everything
in it is named `kedge-…` or lies below /run/kedge-lab.
"""

import os
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from types import TracebackType
from typing import TypeVar

from kedge.model.errors import BadRequest, Conflict, NotFound

from . import fabric, hypervisor, image, teardown
from .host import LabHost
from .layout import CONTROL, FABRIC, HOSTS, NODES, OBSERVER, PKI, HostSpec, NodeSpec
from .node import Node
from .processes import ProcessId
from .state import LabState, locked

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class LabStatus:
    """What there is of the lab.

    Attributes:
        healthy: whether it was made to its end and every node is there.
        hosts: for each host that is there, the names of its domains.
        found: what is there of it, for people to read; empty if there is no lab.
    """

    healthy: bool
    hosts: Mapping[str, tuple[str, ...]]
    found: tuple[str, ...]


class Lab:
    """A lab that is up. Made by `Lab.up()` or found by `Lab.attach()`."""

    def __init__(self, inits: Mapping[str, ProcessId]) -> None:
        self.hosts = {spec.name: LabHost(spec, inits[spec.name]) for spec in HOSTS}
        self.fabric = Node(FABRIC, inits[FABRIC.name])
        self.control = Node(CONTROL, inits[CONTROL.name])
        self.observer = Node(OBSERVER, inits[OBSERVER.name])

    @property
    def nodes(self) -> dict[str, Node]:
        """Every node by name: fabric, control, observer and the hosts."""
        return {node.name: node for node in (self.fabric, self.control, self.observer, *self.hosts.values())}

    @classmethod
    def up(cls) -> "Lab":
        """Makes the lab, after removing what an earlier one left.

        Raises BadRequest if the machine lacks something, Conflict if another process that still runs made
        the lab that is there, HostFailure if a part of it does not come up (it is removed then).
        """
        _check_machine()
        with locked():
            _check_owner(LabState.read())
            teardown.tear_down()
            try:
                return cls._make()
            except BaseException:
                teardown.tear_down()
                raise

    @classmethod
    def _make(cls) -> "Lab":
        owner = ProcessId.of(os.getpid())
        assert owner is not None
        state = LabState(owner, complete=False, inits={})
        state.write()
        PKI.mkdir(mode=0o755)

        started = _each(NODES, Node.start)
        state = replace(state, inits={node.name: node.init for node in started})
        state.write()
        lab = cls(state.inits)
        # The cables get their interface indexes behind those that are spent.
        _each(lab.hosts.values(), lambda host: _prepare(host, host.host_spec))
        fabric.build(lab.nodes)
        _each(lab.hosts.values(), lambda host: _start(host, host.host_spec))
        replace(state, complete=True).write()
        return lab

    @classmethod
    def attach(cls) -> "Lab":
        """The lab that is up. Raises NotFound if there is none, Conflict if it is only half there."""
        state = LabState.read()
        if state is None:
            raise NotFound("no lab is up on this machine; make one with `kedge lab up`")
        if not state.healthy:
            raise Conflict("the lab is only half there; remove it with `kedge lab down`")
        return cls(state.inits)

    @staticmethod
    def down() -> None:
        """Removes the lab, whole or half made, whoever made it. Does nothing if there is none."""
        with locked():
            teardown.tear_down()

    @staticmethod
    def status() -> LabStatus:
        """What there is of the lab; asks each host that is there for its domains."""
        state = LabState.read()
        healthy = state is not None and state.healthy
        hosts = {}
        if state is not None and state.complete:
            alive = [LabHost(spec, state.inits[spec.name]) for spec in HOSTS if state.inits[spec.name].alive]
            hosts = {host.name: tuple(host.domains()) for host in alive}
        return LabStatus(healthy, hosts, tuple(teardown.leftovers()))

    def __enter__(self) -> "Lab":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        Lab.down()


def _check_machine() -> None:
    if os.geteuid() != 0:
        raise BadRequest("the lab makes namespaces and network devices; run it as root")
    missing = hypervisor.missing_programs()
    if missing:
        raise BadRequest(f"the lab needs {', '.join(missing)}; run scripts/setup.sh")
    if not image.KERNEL.exists() or not image.INITRD.exists():
        raise BadRequest("the lab's guest is not built; run scripts/setup.sh")


def _check_owner(state: LabState | None) -> None:
    if state is not None and state.owner.alive and state.owner.pid != os.getpid():
        raise Conflict(
            f"process {state.owner.pid} has the lab up and still runs; end it, or remove the lab with `kedge lab down`"
        )


def _prepare(host: LabHost, spec: HostSpec) -> None:
    hypervisor.mount_private_directories(host)
    hypervisor.write_libvirt_configuration(host, spec)
    if spec.spent_ifindexes:
        fabric.spend_ifindexes(host, spec.spent_ifindexes)


def _start(host: LabHost, spec: HostSpec) -> None:
    hypervisor.start_libvirtd(host)
    if spec.backend.is_ovs:
        hypervisor.start_open_vswitch(host, spec)
    hypervisor.wait_for_libvirtd(host, spec)
    host.remember_own_devices()


def _each(things: Iterable[T], action: Callable[[T], R]) -> list[R]:
    """Does something with all things at once, and raises the first error once all are through."""
    with ThreadPoolExecutor() as executor:
        return list(executor.map(action, things))


__all__ = ["Lab", "LabHost", "LabStatus", "Node", "NodeSpec"]
