"""A started control plane, its Nova and its listeners: an end of the process loses no event."""

import json
from datetime import UTC, datetime
from pathlib import Path

import httpx2
from sqlalchemy import select

from kedge.config import ControlPlaneConfig, EventsConfig
from kedge.store import outbox, reading, transaction
from kedge.store.tables import EventRow

from ..processes import serving
from .conftest import SERVER, Ports, eventually
from .fake_nova import fake_nova


def test_an_end_of_the_process_loses_no_event(ports: Ports, tmp_path: Path) -> None:
    port = ports.make()
    ports.report("h1", port)
    with transaction(ports.world.engine) as session:
        # The clock of these ports is not that of the process, to which they would be long over.
        for event in session.scalars(select(EventRow)):
            event.at = datetime.now(UTC)
    with fake_nova() as nova:
        nova.trouble = [503] * 1000
        config = ControlPlaneConfig(
            state_dir=tmp_path / "state",
            database=ports.world.engine.url.render_as_string(hide_password=False),
            socket=None,
            workers=2,
            events=EventsConfig(nova_url=nova.url, interval_s=0.1),
        )
        with serving(config, tmp_path):
            eventually(lambda: nova.tries >= 1)
        assert nova.taken == []
        nova.trouble = []
        with serving(config, tmp_path) as url:
            eventually(lambda: nova.taken == [("network-vif-plugged", port.id)])
            with (
                httpx2.Client(base_url=url, timeout=10, trust_env=False) as client,
                client.stream("GET", f"/kedge/v1/events?since=0&server={SERVER}") as answer,
            ):
                line = next(line for line in answer.iter_lines() if line.startswith("data: "))
            assert json.loads(line.removeprefix("data: "))["port_id"] == port.id
            eventually(lambda: _unsent(ports) == 0)
    assert len(nova.taken) == 1, "two workers, and one of them tells"


def _unsent(ports: Ports) -> int:
    with reading(ports.world.engine) as session:
        return len(outbox.unsent(session, 10))
