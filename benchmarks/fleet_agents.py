"""The agents of a fleet's simulated hosts over HTTP, in one process: `python -m benchmarks.fleet_agents DATABASE N S`.

Host h00001's agent is at /h00001. N migrations copy until all of them do; then they pause one after the other within S
seconds, at random. GET /paused says when each did. The process says its port on its output, and ends with its input.
"""

import asyncio
import json
import random
import sys
import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs, urlsplit

from kedge.model.domain import TransferOrder
from kedge.model.errors import KedgeError
from kedge.model.host_facts import FactsRequest
from kedge.network.local import LocalNetworkService
from kedge.store import open_database
from kedge.testing.simulated.agent import SimulatedAgent
from kedge.testing.simulated.fabric import SimulatedFabric
from kedge.testing.simulated.hypervisor import SimulatedHypervisor
from kedge.testing.simulated.transfer import SimulatedTransfer, Step
from kedge.wire.encoding import error_body, from_json, seen, to_json
from kedge.wire.messages import (
    AnnounceOrder,
    DiscardOrder,
    ObserveRequest,
    PlugOrder,
    TransferTuning,
    UnplugOrder,
)
from kedge.wire.plans import DepartureRequest

from .fleet_world import Layout

PAUSE_S = 0.06
STEP_S = 0.05
SEED = 4711


class TimedFabric(SimulatedFabric):
    """Hosts whose transfers take time."""

    def __init__(self, transfers: int, spread_s: float) -> None:
        super().__init__(None, {})
        self.reporting = False
        self.paused_ns: dict[str, int] = {}
        self.waiting: Mapping[str, asyncio.Event] = defaultdict(asyncio.Event)
        self._roll = random.Random(SEED)
        self._tasks: list[asyncio.Task[None]] = []
        self._left, self._spread_s = transfers, spread_s
        self._all_copy = asyncio.Event()

    def begin(self, source: SimulatedHypervisor, order: TransferOrder) -> None:
        """The source's agent calls libvirt."""
        super().begin(source, order)
        transfer = self.running(order.server_id, source)
        assert transfer is not None
        self._tasks.append(asyncio.get_running_loop().create_task(self._make(transfer)))

    async def _make(self, transfer: SimulatedTransfer) -> None:
        uuid = transfer.order.server_id
        transfer.rounds = sys.maxsize
        for _ in range(2):
            await asyncio.sleep(STEP_S)
            self._step(transfer)
        self._left -= 1
        if self._left == 0:
            self._all_copy.set()
        await self._all_copy.wait()
        await asyncio.sleep(self._roll.random() * self._spread_s)
        transfer.rounds = 0
        self._step(transfer)
        self.paused_ns[uuid] = time.time_ns()
        await asyncio.sleep(PAUSE_S)
        self._step(transfer)
        await asyncio.sleep(STEP_S)
        self._step(transfer)

    def _step(self, transfer: SimulatedTransfer) -> None:
        if transfer.step is not Step.OVER:
            self._advance(transfer)
        uuid = transfer.order.server_id
        waiting, self.waiting[uuid] = self.waiting[uuid], asyncio.Event()  # type: ignore[index]
        waiting.set()


async def observe(fabric: TimedFabric, agent: SimulatedAgent, uuid: str, request: ObserveRequest) -> Any:
    """Look; with `wait_ms`, until something differs from `seen`."""
    until = time.monotonic() + request.wait_ms / 1000
    at_once = replace(request, wait_ms=0)
    while True:
        changed = fabric.waiting[uuid]
        view = agent.observe(uuid, at_once)
        left_s = until - time.monotonic()
        if left_s <= 0 or seen(view) != request.seen:
            return view
        try:
            await asyncio.wait_for(changed.wait(), left_s)
        except TimeoutError:
            continue


async def answer(fabric: TimedFabric, agent: SimulatedAgent, call: list[str], query: str, body: bytes) -> Any:
    """What the agent says to this method and path; None for nothing."""
    match call:
        case ["POST", "domains", uuid, "observe"]:
            return await observe(fabric, agent, uuid, from_json(ObserveRequest, body))
        case ["POST", "domains", uuid, "departure"]:
            return agent.departure(uuid, from_json(DepartureRequest, body))
        case ["POST", "domains", uuid, "arrival"]:
            return agent.arrival(uuid, from_json(FactsRequest, body))
        case ["POST", "facts"]:
            return agent.facts(from_json(FactsRequest, body))
        case ["GET", "host"]:
            return agent.host()
        case ["GET", "domains", uuid, "xml"]:
            return {"xml": agent.domain_xml(uuid, migratable=parse_qs(query).get("migratable") == ["1"])}
        case ["POST", "domains", uuid, "discard"]:
            return agent.discard_domain(uuid, from_json(DiscardOrder, body))
        case ["PUT", "transfers", _]:
            return agent.start_transfer(from_json(TransferOrder, body))
        case ["PATCH", "transfers", migration_id]:
            return agent.tune_transfer(migration_id, from_json(TransferTuning, body))
        case ["POST", "vifs", "plug"]:
            return agent.plug(from_json(PlugOrder, body))
        case ["POST", "vifs", "unplug"]:
            return agent.unplug(from_json(UnplugOrder, body))
        case ["POST", "vifs", "announce"]:
            return agent.announce(from_json(AnnounceOrder, body))
    raise KedgeError(f"simulated agents know no {call}")


async def serve(layout: Layout, fabric: TimedFabric) -> None:
    """Serve until the input ends."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                first, *lines = head.split("\r\n")
                sizes = [line.split(":")[1] for line in lines if line.lower().startswith("content-length:")]
                body = await reader.readexactly(int(sizes[0])) if sizes else b""
                method, target, _ = first.split(" ")
                status, content = await handled(method, target, body)
                lead = (
                    f"HTTP/1.1 {status} -\r\ncontent-type: application/json\r\ncontent-length: {len(content)}"
                )
                writer.write(f"{lead}\r\n\r\n".encode() + content)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def handled(method: str, target: str, body: bytes) -> tuple[int, bytes]:
        url = urlsplit(target)
        host, *path = url.path.strip("/").split("/")
        if host == "paused":
            return 200, json.dumps(fabric.paused_ns).encode()
        try:
            agent = layout.agent(fabric, host)
            found = await answer(fabric, agent, [method, *path[1:]], url.query, body)
        except KedgeError as error:
            return error.status, json.dumps(error_body(error)).encode()
        if isinstance(found, dict):
            return 200, json.dumps(found).encode()
        return 200, b"{}" if found is None else to_json(found)

    server = await asyncio.start_server(connected, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    if fabric.violations:
        print(f"hosts were told what must never be: {fabric.violations}", file=sys.stderr)


def main() -> None:
    """Serve the hosts of a database."""
    engine = open_database(f"sqlite:///{sys.argv[1]}")
    layout = Layout(LocalNetworkService(engine).networks())
    engine.dispose()

    async def run() -> None:
        await serve(layout, TimedFabric(int(sys.argv[2]), float(sys.argv[3])))

    asyncio.run(run())


if __name__ == "__main__":
    main()
