"""Simulated hosts with a transition over them, driven by hand."""

import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from sqlalchemy import select

from kedge.compute.hosts.commands import Commands
from kedge.compute.migrations.conductor import Conductor
from kedge.compute.operations.conductor import OperationConductor
from kedge.compute.operations.operations import OperationRequest, Operations
from kedge.compute.operations.probe import OWNER
from kedge.compute.operations.records import OperationRecords
from kedge.compute.records.claims import claims_in
from kedge.compute.rewirings.conductor import Drive
from kedge.compute.rewirings.records import RewiringRecords
from kedge.model.errors import HostFailure, Unreachable
from kedge.model.host import HostBackend
from kedge.model.operation import Operation, OperationKind, OperationLimits
from kedge.model.transition import Stage, Transition, TransitionHost, Way
from kedge.store import reading
from kedge.store.tables import PortRow

from .compute_world import ComputeWorld

OVS = HostBackend("openvswitch", {"physnet1": "br-physnet1", "physnet2": "br-physnet2"})
OTHER_PARENT = HostBackend("macvtap", {"physnet1": "eth3", "physnet2": "eth4"})


class Hosts:
    """A world with a transition, whose rounds and migrations are driven by hand."""

    def __init__(self, world: ComputeWorld, directory: Path) -> None:
        self.world = world
        self.directory = directory
        self.commands = Commands(
            {
                "convert": [
                    "/bin/sh",
                    "-c",
                    'echo "changing $0"; touch "$1/ran-$0"; exit 0',
                    "{host}",
                    str(directory),
                ],
                "told": ["/bin/sh", "-c", 'echo "$0"; touch "$1/ran-$2"', "{way}", str(directory), "{host}"],
                "fail": ["/bin/sh", "-c", "echo no such bridge; exit 3"],
            },
            directory=directory / "commands",
        )
        self.records = OperationRecords(world.engine)
        self.rewirings = RewiringRecords(world.engine)
        self.use(self.commands)

    def use(self, commands: Commands) -> None:
        """Let it have these commands."""
        self.tools = replace(self.world.tools, commands=commands)
        self.conductor = Conductor(self.tools, claims_in(self.world.engine))
        self.operations = Operations(self.tools, self.records, self.conductor.places)

    def begin(
        self, *hosts: str, run: str = "", to: HostBackend = OVS, way: Way = Way.MOVES, **limits: int
    ) -> Operation:
        mappings = to.mappings if to is OTHER_PARENT else {}
        wanted = Transition(hosts, to.driver, mappings, run, way)
        bounds = OperationLimits(**limits)  # type: ignore[arg-type]
        return self.operations.begin(
            OperationRequest(OperationKind.TRANSITION, limits=bounds, transition=wanted)
        )

    def round(self, operation: Operation) -> Operation:
        """As a conductor that was started just now, which knows nothing."""
        OperationConductor(self.conductor, self.records, claims_in(self.world.engine)).round(operation.id)
        return self.records.find(operation.id)

    def report(self, host: str, *backends: HostBackend) -> None:
        """The agent comes back with these backends."""
        self.world[host].backends = backends
        self.world[host].agent.restart()
        self.world.pass_time(1)

    def until(self, operation: Operation, reached: Callable[[Operation], bool]) -> Operation:
        for _ in range(60):
            operation = self.round(operation)
            if reached(operation):
                return operation
            for migration_id in self.tools.migrations.unfinished():
                self.world.drive(self.tools.migrations.find(migration_id))
            self.drive_rewirings()
            for thread in threading.enumerate():
                if thread.name.startswith("command-"):
                    thread.join(60)
        raise AssertionError(f"it does not come to this: {operation}")

    def drive_rewirings(self) -> None:
        """Each to its end, as conductors do that are started just now."""
        for rewiring_id in self.rewirings.unfinished():
            for _ in range(20):
                with suppress(HostFailure, Unreachable):
                    if Drive(rewiring_id, self.tools, self.rewirings).run(threading.Event()):
                        break

    def until_stage(self, operation: Operation, stage: Stage, host: str = "h5") -> Operation:
        return self.until(operation, lambda found: of(found, host).stage is stage)

    def until_trouble(self, operation: Operation) -> Operation:
        return self.until(operation, lambda found: found.state == "paused")

    def to_end(self, operation: Operation) -> Operation:
        return self.until(operation, lambda found: found.finished_at is not None)

    def probes(self) -> list[str]:
        with reading(self.world.engine) as session:
            return list(session.scalars(select(PortRow.id).where(PortRow.device_owner == OWNER)))


def of(operation: Operation, host: str = "h5") -> TransitionHost:
    return next(each for each in operation.hosts if each.host == host)
