"""A control plane as a process of its own, as people run it."""

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from kedge.config import ControlPlaneConfig


def free_port() -> int:
    """A TCP port on loopback that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


@contextmanager
def serving(config: ControlPlaneConfig, directory: Path, *, descriptors: int | None = None) -> Iterator[str]:
    """`kedge serve` with this configuration, on a port of its own; gives the URL that clients use.

    `descriptors` is how many it may have open, where that is not this process's limit.
    """
    port = free_port()
    file = directory / "kedge.toml"
    places = {"listen": f"127.0.0.1:{port}", "socket": str(config.socket or "")}
    file.write_text(_toml(asdict(config) | places))
    log = directory / "kedge.log"
    limited = ["prlimit", f"--nofile={descriptors}:{descriptors}"] if descriptors else []
    command = [*limited, sys.executable, "-m", "kedge", "serve", "--config", str(file)]
    with log.open("a") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out)
    try:
        _wait_for(port, process, log)
        yield f"{'https' if config.certificate else 'http'}://127.0.0.1:{port}"
    finally:
        process.terminate()
        assert process.wait(20) == 0, log.read_text()
    assert "Traceback" not in log.read_text(), log.read_text()


def _wait_for(port: int, process: "subprocess.Popen[bytes]", log: Path) -> None:
    ends = time.monotonic() + 30
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            assert process.poll() is None and time.monotonic() < ends, log.read_text()
            time.sleep(0.05)


def _toml(values: dict[str, Any], section: str = "") -> str:
    plain = {
        name: value for name, value in values.items() if value is not None and not isinstance(value, dict)
    }
    lines = [f"{name} = {_value(value)}" for name, value in plain.items()]
    for name, value in values.items():
        if isinstance(value, dict):
            lines += [f"[{section}{name}]", _toml(value, f"{section}{name}.")]
    return "\n".join(lines)


def _value(value: Any) -> str:
    return json.dumps(str(value) if isinstance(value, Path) else value)
