"""Makes a node a hypervisor host: private state directories, libvirtd, and Open vSwitch where it belongs."""

import re
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from kedge.model.errors import HostFailure

from . import processes
from .layout import CONTROL, HOSTS, PKI, HostSpec
from .node import Node

# What each host has for itself. /run comes last: the state directory lies below it.
PRIVATE_DIRECTORIES = (
    "/etc/libvirt",
    "/var/lib/libvirt",
    "/var/cache/libvirt",
    "/var/log/libvirt",
    "/etc/openvswitch",
    "/var/lib/openvswitch",
    "/var/log/openvswitch",
    "/var/lib/kedge",
    "/run",
)

EMULATOR = "/usr/bin/qemu-system-x86_64"
NO_PLAN_CAN_KNOW = "this QEMU takes no VM from elsewhere"
"""What QEMU says under `refusing_arrivals`."""

_OVS_OPTIONS = ("--pidfile", "--log-file", "--verbose=console:off")
_PROGRAMS = ("libvirtd", "virsh", "qemu-system-x86_64", "ovs-vsctl", "ovsdb-server", "ovs-vswitchd")
_TOOLS = ("ip", "ethtool", "nsenter", "unshare", "setsid", "mount")


def mount_private_directories(node: Node) -> None:
    """Gives the node its own copy of every directory that libvirt, Open vSwitch and Kedge write to."""
    root = node.directory / "root"
    private = [directory for directory in PRIVATE_DIRECTORIES if Path(directory).exists()]
    for directory in private:
        (root / directory[1:]).mkdir(parents=True)
    inner = root / str(node.directory)[1:]
    for made in (inner, root / str(PKI)[1:], root / "run/openvswitch", root / "run/lock"):
        made.mkdir(parents=True)
    (root / "etc/hosts").write_text(
        "127.0.0.1 localhost\n" + "".join(f"{spec.address} {spec.name}\n" for spec in (CONTROL, *HOSTS))
    )
    mounts = [(node.directory, inner), (PKI, root / str(PKI)[1:]), (root / "etc/hosts", Path("/etc/hosts"))]
    mounts.append(_emulator_mount(node))
    mounts += [(root / directory[1:], Path(directory)) for directory in private]
    # A recursive bind takes what is already mounted below /run along.
    node.shell("".join(f"mount --rbind {source} {target}\n" for source, target in mounts))


def _loses_writes_under_tcg() -> bool:
    answer = processes.run([EMULATOR, "--version"]).stdout
    version = re.search(r"version (\d+)", answer)
    return version is not None and int(version[1]) < 9


def _emulator_mount(node: Node) -> tuple[Path, Path]:
    """Puts `guest/qemu.sh` over the emulator, which it calls by another path; the file says why."""
    # QEMU looks for its modules and firmware from where it lies: in ../lib and ../share.
    real = node.directory / "emulator" / "bin" / Path(EMULATOR).name
    real.parent.mkdir(parents=True)
    real.touch()
    for beside in ("lib", "share"):
        (real.parent.parent / beside).symlink_to(Path("/usr") / beside)
    node.shell(f"mount --bind {EMULATOR} {real}\n")
    script = node.directory / "qemu.sh"
    text = (Path(__file__).parent / "guest" / "qemu.sh").read_text()
    extra_kib = 8 if _loses_writes_under_tcg() else 0
    script.write_text(text.replace("@QEMU@", str(real)).replace("@EXTRA_KIB@", str(extra_kib)))
    script.chmod(0o755)
    return script, Path(EMULATOR)


@contextmanager
def refusing_arrivals(node: Node) -> Iterator[None]:
    """Meanwhile QEMU on the node can be asked what it can do, and starts for no VM that comes from another host.

    No plan can know that: libvirt finds it out after everything was plugged.
    """
    script = node.directory / "refuses-arrivals.sh"
    script.write_text(
        "#!/bin/sh\n"
        f'case " $* " in *" -incoming "*) echo "{NO_PLAN_CAN_KNOW}" >&2; exit 1 ;; esac\n'
        f'exec {node.directory / "qemu.sh"} "$@"\n'
    )
    script.chmod(0o755)
    node.run(["mount", "--bind", str(script), EMULATOR])
    try:
        yield
    finally:
        node.run(["umount", EMULATOR])


def write_libvirt_configuration(node: Node, spec: HostSpec) -> None:
    """Writes libvirtd.conf and qemu.conf: TCP without authentication, on the management address only."""
    directory = node.directory / "root/etc/libvirt"
    (directory / "libvirtd.conf").write_text(
        f"""\
host_uuid = "{spec.uuid}"
listen_tls = 0
listen_tcp = 1
listen_addr = "{spec.address}"
auth_tcp = "none"
auth_unix_rw = "none"
auth_unix_ro = "none"
log_level = 3
log_outputs = "3:stderr"
"""
    )
    (directory / "qemu.conf").write_text(
        """\
user = "root"
group = "root"
dynamic_ownership = 0
remember_owner = 0
security_driver = "none"
namespaces = []
cgroup_controllers = []
stdio_handler = "file"
"""
    )


def start_libvirtd(node: Node) -> None:
    """Starts libvirtd on the node; `wait_for_libvirtd` says when it can be used."""
    node.daemon(["libvirtd", "--listen"], "libvirtd")


def wait_for_libvirtd(node: Node, spec: HostSpec, timeout: float = 60) -> None:
    """Waits until libvirtd answers on the management network. Raises HostFailure after `timeout` s."""
    deadline = time.monotonic() + timeout
    while True:
        answer = node.run(["virsh", "-c", f"qemu+tcp://{spec.address}/system", "version"], check=False)
        if answer.returncode == 0:
            return
        if time.monotonic() > deadline:
            log = node.directory / "log/libvirtd.log"
            raise HostFailure(f"libvirtd on {spec.name} does not answer ({answer.stderr.strip()}); see {log}")
        time.sleep(0.1)


def start_open_vswitch(node: Node, spec: HostSpec) -> None:
    """Starts Open vSwitch with br-int and, for each physical network, a bridge with its interface."""
    start_bridges(node, spec)
    for physical_network, interface in spec.interfaces.items():
        node.run(["ovs-vsctl", "--timeout=20", "add-port", spec.mappings[physical_network], interface])


def start_bridges(node: Node, spec: HostSpec) -> None:
    """Starts Open vSwitch with br-int and a bridge for each physical network, which has no interface yet.

    The bridges use the kernel's datapath where the kernel has one, and the userspace one (netdev) elsewhere.
    """
    schema = "/usr/share/openvswitch/vswitch.ovsschema"
    node.run(["ovsdb-tool", "create", "/etc/openvswitch/conf.db", schema])
    node.daemon(
        [
            "ovsdb-server",
            "--remote=punix:/run/openvswitch/db.sock",
            *_OVS_OPTIONS,
            "/etc/openvswitch/conf.db",
        ],
        "ovsdb-server",
    )
    node.run(["ovs-vsctl", "--retry", "--timeout=20", "--no-wait", "init"])
    start_vswitchd(node)
    datapath = "system" if _kernel_has_datapath(node) else "netdev"
    for bridge in ("br-int", *spec.mappings.values()):
        settings = ["--", "set", "bridge", bridge, f"datapath_type={datapath}", "fail_mode=standalone"]
        node.run(["ovs-vsctl", "--timeout=20", "add-br", bridge, *settings])
        node.run(["ip", "link", "set", bridge, "up"])


def stop_open_vswitch(node: Node, bridges: Sequence[str]) -> None:
    """Removes these bridges and ends Open vSwitch, with its database."""
    node.shell(
        "".join(f"ovs-vsctl --timeout=20 del-br {bridge}\n" for bridge in bridges)
        + "pids=$(cat /run/openvswitch/*.pid)\nkill $pids\n"
        "for pid in $pids; do while kill -0 $pid 2>/dev/null; do sleep 0.1; done; done\n"
        "rm -f /etc/openvswitch/conf.db\n"
    )


def start_vswitchd(node: Node) -> None:
    """Starts ovs-vswitchd on the node, over the database that is there."""
    node.daemon(["ovs-vswitchd", *_OVS_OPTIONS], "ovs-vswitchd")


def _kernel_has_datapath(node: Node) -> bool:
    # Asking for the module's netlink family makes the kernel load the module, if there is one.
    return node.run(["ovs-dpctl", "dump-dps"], check=False).returncode == 0


def datapath_type(node: Node) -> str:
    """The datapath that the node's bridges were made with: `system` or `netdev`."""
    answer = node.run(["ovs-vsctl", "--timeout=20", "get", "Bridge", "br-int", "datapath_type"])
    return answer.stdout.strip().strip('"')


def missing_programs() -> list[str]:
    """The programs the lab runs that are not installed."""
    return [program for program in (*_PROGRAMS, *_TOOLS) if shutil.which(program) is None]
