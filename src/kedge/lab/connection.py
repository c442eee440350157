"""Holds one TCP connection to a guest's echo service through a migration, and says whether it was whole.

    connection = Connection(lab.observer, "198.51.100.10")
    …migrate…
    seen = connection.stop()
    assert seen.alive and seen.continuous

The observer runs `python -m kedge.lab.connection`, a process of its own.
"""

import argparse
import socket
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from .image import ECHO_PORT
from .node import Node
from .sampling import Sampler, StopFlag, started, write_result


@dataclass
class ConnectionResult:
    """What the client saw; times in ms.

    Attributes:
        alive: whether the connection was open and answering at the end.
        lines: lines that were answered.
        same_boot: whether every answer came from the same boot of the guest.
        continuous: whether the connection's counter grew by exactly one with each line, and the guest's
            uptime counter never went back nor ahead of the time that passed.
        first_count, last_count: the guest's uptime counter in the first and the last answer.
        longest_stall_ms: the longest time from sending a line to its answer.
        error: what broke the connection, or None.
    """

    alive: bool = False
    lines: int = 0
    same_boot: bool = True
    continuous: bool = True
    first_count: int | None = None
    last_count: int | None = None
    longest_stall_ms: float = 0.0
    error: str | None = None


class Connection:
    """A client that runs on a node of the lab until `stop`."""

    def __init__(self, node: Node, address: str, interval_ms: float = 20.0) -> None:
        self._sampler = Sampler(node, "kedge.lab.connection", "--interval-ms", str(interval_ms), address)

    def stop(self) -> ConnectionResult:
        """Ends the client and gives what it saw. Raises HostFailure if it wrote no result."""
        return ConnectionResult(**self._sampler.result())


@dataclass(frozen=True)
class Pulse:
    """Which boot of a guest answered, and its uptime counter then."""

    boot_id: str
    count: int

    def follows(self, earlier: "Pulse") -> bool:
        """Whether this can be the same guest later on."""
        return self.boot_id == earlier.boot_id and self.count >= earlier.count


def pulse(node: Node, address: str) -> Pulse | None:
    """Asks a guest once; None if it does not answer within five seconds."""
    ask = f'exec 3<>/dev/tcp/{address}/{ECHO_PORT}; echo 1 >&3; read -r line <&3; echo "$line"'
    answer = node.run(["timeout", "5", "bash", "-c", ask], check=False).stdout.split()
    return Pulse(answer[0], int(answer[1])) if len(answer) == 4 else None


def run_in_guest(node: Node, address: str, command: str) -> int:
    """Runs a command with the guest's shell; its exit status. Raises HostFailure if the guest does not answer."""
    ask = f'exec 3<>/dev/tcp/{address}/{ECHO_PORT}; echo "run $1" >&3; read -r line <&3; echo "$line"'
    answer = node.run(["timeout", "20", "bash", "-c", ask, "bash", command]).stdout.split()
    return int(answer[3])


class _Client:
    def __init__(self, address: str) -> None:
        self.result = ConnectionResult()
        self._socket = socket.create_connection((address, ECHO_PORT), timeout=10)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._file = self._socket.makefile("r", encoding="ascii")
        self._boot_id: str | None = None
        self._first_ns = 0

    def ask(self) -> None:
        """Sends one line and checks its answer. Raises OSError or ValueError if there is none, or a wrong one."""
        number = self.result.lines + 1
        began_ns = time.monotonic_ns()
        self._socket.sendall(f"{number}\n".encode("ascii"))
        answer = self._file.readline()
        now_ns = time.monotonic_ns()
        if not answer:
            raise ConnectionResetError("the guest closed the connection")
        boot_id, count, own_count, line = answer.split()
        self._check(boot_id, int(count), now_ns)
        if int(own_count) != number or int(line) != number:
            self.result.continuous = False
        self.result.lines = number
        self.result.longest_stall_ms = max(self.result.longest_stall_ms, (now_ns - began_ns) / 1e6)

    def _check(self, boot_id: str, count: int, now_ns: int) -> None:
        result = self.result
        if self._boot_id is None or result.first_count is None or result.last_count is None:
            self._boot_id, self._first_ns = boot_id, now_ns
            result.first_count = result.last_count = count
        result.same_boot = result.same_boot and boot_id == self._boot_id
        # The guest counts ten times a second at most; three more cover a late first answer.
        most = result.first_count + (now_ns - self._first_ns) / 1e8 + 3
        if not result.last_count <= count <= most:
            result.continuous = False
        result.last_count = count

    def run(self, stop: StopFlag, interval_s: float) -> None:
        """Asks until told to stop. The last line decides whether the connection is alive."""
        try:
            while not stop.set:
                self.ask()
                time.sleep(interval_s)
            self.ask()
            self.result.alive = True
        except (OSError, ValueError) as error:
            self.result.error = f"{type(error).__name__}: {error}"


def main() -> None:
    """Talks until SIGTERM or until the connection breaks, then writes the result."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("address")
    parser.add_argument("--interval-ms", type=float, default=20.0)
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()
    stop = StopFlag()
    client = _Client(arguments.address)
    client.ask()
    started(arguments.output)
    client.run(stop, arguments.interval_ms / 1e3)
    write_result(arguments.output, asdict(client.result))


if __name__ == "__main__":
    main()
