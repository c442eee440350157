"""A node of the lab: a set of namespaces that lives as long as its init process.

The init is `sleep infinity` under another name, as the first process of a PID namespace: when it is killed
the kernel ends everything in there, so that libvirtd, QEMU and Open vSwitch can't outlive the lab.
"""

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import kedge
from kedge.model.errors import HostFailure

from . import processes
from .layout import NETNS_DIRECTORY, ROOT, NodeSpec
from .processes import NamespaceProcess, ProcessId, command_line

INIT_NAME = "kedge-lab-init"
_UNSHARE = ("setsid", "--fork", "unshare", "--net", "--mount", "--uts", "--pid", "--fork")
# Where the kernel groups processes by session for scheduling, a process's own niceness counts within its group only.
_FAVOURED = '{ echo -15 > /proc/self/autogroup; renice -n -10 -p $$ >/dev/null; } 2>/dev/null; exec "$@"'
_PACKAGES = str(Path(kedge.__file__).parent.parent)


class Node:
    """The namespaces of one node, and what can be run in them."""

    def __init__(self, spec: NodeSpec, init: ProcessId) -> None:
        self.spec = spec
        self.init = init
        self.name = spec.name
        self.netns = spec.netns
        self.directory = spec.directory

    @classmethod
    def start(cls, spec: NodeSpec) -> "Node":
        """Makes the node's namespaces and its init, and names the network namespace.

        Raises HostFailure if the kernel refuses.
        """
        log_directory = spec.directory / "log"
        log_directory.mkdir(parents=True, exist_ok=True)
        marker = spec.directory / INIT_NAME
        marker.symlink_to("/bin/sleep")
        with (log_directory / "init.log").open("ab") as log:
            subprocess.run(
                # An ignored SIGCHLD survives exec; it makes the kernel reap the orphans that init inherits.
                [*_UNSHARE, "env", "--ignore-signal=CHLD", str(marker), "infinity"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                check=True,
                cwd="/",
            )
        node = cls(spec, _wait_for_init(str(marker)))
        node._name_network_namespace()
        # IPv6 would announce itself on every interface as it comes up; the lab's networks speak when told to.
        node.shell(
            "mount -t proc proc /proc\n"
            "mount -t sysfs sysfs /sys\n"
            f"hostname {spec.name}\n"
            "for what in all default; do echo 1 > /proc/sys/net/ipv6/conf/$what/disable_ipv6; done\n"
            "ip link set lo up\n"
        )
        return node

    def _name_network_namespace(self) -> None:
        NETNS_DIRECTORY.mkdir(exist_ok=True)
        target = NETNS_DIRECTORY / self.netns
        target.touch()
        processes.run(["mount", "--bind", f"/proc/{self.init.pid}/ns/net", str(target)])

    def forget_network(self) -> None:
        """Let go of the network of a node that has ended; with it go its ends of all cables."""
        name = NETNS_DIRECTORY / self.netns
        processes.run(["umount", str(name)])
        name.unlink()

    @property
    def alive(self) -> bool:
        """Whether the node's init, and so the node, is there."""
        return self.init.alive

    def enter(self, argv: Sequence[str]) -> list[str]:
        """The command line that runs `argv` in all of the node's namespaces."""
        return ["nsenter", f"--target={self.init.pid}", "--net", "--mount", "--uts", "--pid", "--", *argv]

    def run(
        self, argv: Sequence[str], *, check: bool = True, timeout: float = 60, text_input: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Runs a command on the node to its end. Raises HostFailure as `processes.run` does."""
        return processes.run(self.enter(argv), check=check, timeout=timeout, text_input=text_input)

    def shell(self, script: str, *, timeout: float = 60) -> str:
        """Runs a shell script on the node, stopping at the first failure, and gives what it printed."""
        return self.run(["sh", "-e", "-s"], timeout=timeout, text_input=script).stdout

    def popen(
        self,
        argv: Sequence[str],
        *,
        log: Path | None = None,
        env: Mapping[str, str] | None = None,
        pipe: bool = False,
    ) -> NamespaceProcess:
        """Starts a command on the node. Its output is appended to `log`, or dropped.

        `pipe` connects its standard output instead. The command ends with the node at the latest;
        `terminate()`, `kill()` and `send_signal()` reach the command itself.
        """
        output = (log or Path(os.devnull)).open("ab")
        with output:
            return NamespaceProcess(
                self.enter(argv),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE if pipe else output,
                stderr=output,
                env={**os.environ, **(env or {})},
                start_new_session=True,
            )

    def python(
        self, module: str, *arguments: str, log: Path | None = None, env: Mapping[str, str] | None = None
    ) -> NamespaceProcess:
        """Starts one of Kedge's modules on the node, with this interpreter."""
        path = os.pathsep.join(filter(None, [_PACKAGES, os.environ.get("PYTHONPATH", "")]))
        argv = [sys.executable, "-m", module, *arguments]
        return self.popen(argv, log=log, env={"PYTHONPATH": path, **(env or {})})

    def daemon(self, argv: Sequence[str], log_name: str) -> None:
        """Starts a command that belongs to the node's init from then on, logging to `log/NAME.log`.

        It goes before other processes of the machine, as what a hypervisor host runs does on a real one.
        """
        log = self.directory / "log" / f"{log_name}.log"
        with log.open("ab") as output:
            subprocess.run(
                self.enter(["setsid", "--fork", "sh", "-c", _FAVOURED, "sh", *argv]),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                check=True,
                timeout=20,
            )


def _wait_for_init(marker: str, timeout: float = 20) -> ProcessId:
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        # It is init only once env has become the program with the node's name.
        init = next(
            (found for found in find_inits() if command_line(found.pid) == [marker, "infinity"]), None
        )
        if init is not None:
            return init
        time.sleep(0.005)
    log = Path(marker).parent / "log/init.log"
    raise HostFailure(f"no namespaces for {marker}: {log.read_text().strip() or 'unshare said nothing'}")


def find_inits() -> list[ProcessId]:
    """Every init of a lab's node on this machine, and the `unshare` that waits for it."""
    return processes.find(f"{ROOT}/hosts/", INIT_NAME)
