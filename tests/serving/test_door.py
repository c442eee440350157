"""A door at which nobody stands costs nothing."""

import asyncio
import socket
from typing import Any

import pytest

from kedge.serving import Limits
from kedge.serving.door import Door


def test_times_are_looked_at_only_while_somebody_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    timers: list[str] = []

    async def at_the_door() -> None:
        loop = asyncio.get_running_loop()
        later = loop.call_later

        def noted(delay: float, callback: Any, *arguments: Any) -> Any:
            timers.append(callback.__name__)
            return later(delay, callback, *arguments)

        monkeypatch.setattr(loop, "call_later", noted)
        with socket.create_server(("127.0.0.1", 0)) as server:
            door = Door("test", server, None, Limits(), lambda refused, lost: asyncio.Protocol())  # type: ignore[arg-type, return-value]
            door.open()
            assert not timers
            with socket.create_connection(server.getsockname()):
                while not door._places:
                    await asyncio.sleep(0.01)
                assert timers.count("_check_times") == 1
            door.close()

    asyncio.run(at_the_door())
