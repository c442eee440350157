"""Run a command in a virtual machine that is this very machine with another kernel.

QEMU boots the Debian cloud kernel (emulated: KVM is not needed) over the host's own root file system, so that all
programs, libraries and the project's virtual environment are there at their paths, and what the host's kernel
lacks (8021q, dummy, netem, openvswitch) is there too. Booting takes a few seconds.

                 host                                            machine
    run() ── virtiofsd over / (read-only) ──── virtiofs ──── lower layer of /, changes stay in memory
          └─ QEMU ── initramfs: `machine/init`, then ─────── `machine/start`, which runs the command
               └──── virtio-serial port ◄─────────────────── its output, then its exit code

virtiofsd and QEMU are a process group of their own, and end with `run`, also when its process is killed. Nothing
inside can change the host's files: virtiofsd itself sees them read-only. There is no network but loopback.
"""

import os
import secrets
import shlex
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from kedge.lab import confined
from kedge.lab.initramfs import archive
from kedge.lab.kernel import CACHE, Kernel, kernel
from kedge.model.errors import BadRequest, HostFailure

_FILES = Path(__file__).with_suffix("")  # the directory `machine` beside this module
_BUSYBOX = Path("/bin/busybox")
_VIRTIOFSD = "/usr/lib/qemu/virtiofsd"
_MODULES = ("virtio_pci", "virtio_console", "virtiofs", "overlay")
_ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LANG": "C.UTF-8",
    "TMPDIR": "/run/tmp",
    "PYTHONUNBUFFERED": "1",  # a line is seen when it is written
    "PYTHONDONTWRITEBYTECODE": "1",  # what is written is forgotten
}


def run(
    argv: Sequence[str],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    timeout_s: float = 300,
    memory_mib: int = 2048,
    cpus: int = 2,
    output: Callable[[str], None] = print,
    cache: Path = CACHE,
) -> int:
    """Run `argv` as root in a fresh machine; returns its exit code (128 + n if signal n ended it).

    Args:
        argv: the program and its arguments; the program is searched in the usual directories.
        cwd: where it runs; here by default.
        env: added to a small environment; the caller's own is not passed.
        timeout_s: for booting and running together.
        memory_mib: the machine's memory, which also holds every file that is written in it.
        cpus: the machine's processors.
        output: called with each line of standard output and error, as it comes.
        cache: where the kernel is kept.

    Raises BadRequest when the caller is not root, and HostFailure when the machine did not boot, broke
    down, or was not done in time; the message holds the last words of its kernel, virtiofsd and QEMU.
    """
    if os.geteuid() != 0:
        raise BadRequest("the machine shares every file of this one, whoever may read it; run it as root")
    booted = kernel(cache)
    end = secrets.token_hex(16)
    command = _command(argv, cwd or Path.cwd(), _ENVIRONMENT | dict(env or {}))
    with (
        tempfile.TemporaryFile() as log,
        _machine(_initramfs(booted, command, end), booted, memory_mib, cpus, log) as console,
    ):
        try:
            return _follow(console, end.encode(), time.monotonic() + timeout_s, output)
        except TimeoutError:
            problem = f"was not done within {timeout_s:g} s"
        except EOFError:
            problem = "broke down"
        log.seek(0)
        raise HostFailure(f"The machine for `{shlex.join(argv)}` {problem}. Its last words:\n{_tail(log)}")


def _command(argv: Sequence[str], cwd: Path, env: Mapping[str, str]) -> str:
    """A shell script. `env -i` keeps out what the machine's own first processes were started with."""
    variables = [f"{name}={value}" for name, value in env.items()]
    return f"cd {shlex.quote(str(cwd))} && exec {shlex.join(['env', '-i', *variables, *argv])}\n"


def _initramfs(booted: Kernel, command: str, end: str) -> bytes:
    settings = {"modules": str(booted.modules_dir.resolve()), "version": booted.version, "end": end}
    files = {
        "init": (_FILES / "init").read_bytes(),
        "bin/busybox": _BUSYBOX.read_bytes(),
        "machine/start": (_FILES / "start").read_bytes(),
        "machine/settings": "".join(
            f"{name}={shlex.quote(value)}\n" for name, value in settings.items()
        ).encode(),
        "machine/command": command.encode(),
    }
    for number, module in enumerate(booted.modules(_MODULES)):
        files[f"modules/{number:02}-{module.name}"] = module.read_bytes()
    return archive(files)


@contextmanager
def _machine(
    initramfs: bytes, booted: Kernel, memory_mib: int, cpus: int, log: IO[bytes]
) -> Iterator[socket.socket]:
    """A machine that boots; gives the host's end of its console. It is gone when this ends."""
    ours, theirs = socket.socketpair()
    with (
        ours,
        theirs,
        _file_server(log) as (share, group),
        os.fdopen(os.memfd_create("initramfs"), "wb") as image,
    ):
        image.write(initramfs)
        image.flush()
        fds = {"initramfs": image.fileno(), "share": share.fileno(), "console": theirs.fileno()}
        argv = _qemu(booted, memory_mib, cpus, fds)
        with _ends_with_us(argv, log, fds.values(), group=group):
            theirs.close()  # so that QEMU's end is the only one, and its death is seen
            yield ours


@contextmanager
def _file_server(log: IO[bytes]) -> Iterator[tuple[socket.socket, int]]:
    """virtiofsd for one machine: a connection to it, and its process group."""
    with socket.socket(socket.AF_UNIX) as listening, socket.socket(socket.AF_UNIX) as share:
        listening.bind("")  # an abstract address that the kernel chooses: no file to clean up
        listening.listen()
        share.connect(listening.getsockname())
        fd = listening.fileno()
        argv = [_VIRTIOFSD, f"--fd={fd}", "-f", "-o", "source=/,sandbox=chroot,cache=always,log_level=err"]
        with _ends_with_us(argv, log, (fd,), read_only=True) as process:
            listening.close()
            yield share, process.pid


def _qemu(booted: Kernel, memory_mib: int, cpus: int, fds: Mapping[str, int]) -> list[str]:
    options = {
        "machine": "q35,memory-backend=memory",
        "accel": "tcg,thread=multi",
        "cpu": "max,la57=off",  # five levels of page tables would only cost time
        "smp": str(cpus),
        "m": str(memory_mib),
        "object": f"memory-backend-memfd,id=memory,size={memory_mib}M,share=on",
        "kernel": str(booted.image),
        "initrd": f"/dev/fd/{fds['initramfs']}",
        "append": "console=ttyS0 quiet panic=-1 mitigations=off",
        "serial": "stdio",
        "display": "none",
    }
    devices = [
        ("-chardev", f"socket,id=share,fd={fds['share']}"),
        ("-device", "vhost-user-fs-pci,chardev=share,tag=host,queue-size=1024"),
        ("-chardev", f"socket,id=console,fd={fds['console']}"),
        ("-device", "virtio-serial-pci"),
        ("-device", "virtserialport,chardev=console,nr=1"),
    ]
    flags = ["-nodefaults", "-no-user-config", "-no-reboot"]
    pairs = [(f"-{name}", value) for name, value in options.items()] + devices
    return ["qemu-system-x86_64", *flags, *(word for pair in pairs for word in pair)]


@contextmanager
def _ends_with_us(
    argv: Sequence[str], log: IO[bytes], fds: Collection[int], *, read_only: bool = False, group: int = 0
) -> Iterator[subprocess.Popen[bytes]]:
    limits = ["--read-only"] if read_only else []
    process = subprocess.Popen(
        [sys.executable, "-I", confined.__file__, *limits, str(os.getpid()), "--", *argv],
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        pass_fds=fds,
        process_group=group,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def _follow(console: socket.socket, end: bytes, deadline: float, output: Callable[[str], None]) -> int:
    """Hand on the command's lines until the machine writes `end` and the exit code.

    Raises TimeoutError at `deadline`, and EOFError when there is no machine any more.
    """
    pending = b""
    try:
        while True:
            console.settimeout(max(deadline - time.monotonic(), 0.001))
            received = console.recv(65536)
            if not received:
                raise EOFError
            *lines, pending = (pending + received).split(b"\n")
            for line in lines:
                text, ended, code = line.partition(end)
                if text or not ended:
                    output(text.decode(errors="replace"))
                if ended:
                    return int(code)
    except (TimeoutError, EOFError):
        if pending:
            output(pending.decode(errors="replace"))
        raise


def _tail(log: IO[bytes]) -> str:
    return "\n".join(log.read().decode(errors="replace").splitlines()[-80:])
