"""A PostgreSQL instance of one's own: in a temporary directory, on a Unix socket, gone when the block ends.

The distribution's cluster is neither needed nor touched. PostgreSQL refuses to run as root, so root starts it as
the user that Debian's package makes.
"""

import os
import pwd
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp

import psycopg
from psycopg import sql

from kedge.model.errors import HostFailure

_UNPRIVILEGED = "postgres"
_SUPERUSER = "kedge"
_START_S = 30

_DISK = Path("/tmp")  # noqa: S108 - only mkdtemp makes something there

# For data that nobody needs after a crash. In memory, a database is copied ten times as fast as on some disks.
_MEMORY = Path("/dev/shm")  # noqa: S108 - only mkdtemp makes something there
_CARELESS = ("fsync=off", "synchronous_commit=off", "full_page_writes=off")


@dataclass(frozen=True)
class Postgres:
    """A running instance; `directory` holds its data and its socket, `pid` is its first process."""

    directory: Path
    pid: int

    def url(self, database: str = "postgres") -> str:
        """SQLAlchemy's URL of a database of this instance."""
        return f"postgresql+psycopg://{_SUPERUSER}@/{database}?host={self.directory}"

    def create(self, database: str, template: str = "template1") -> None:
        """Make a database as a copy of another, to which nobody may be connected."""
        self._run("CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy", database, template)

    def drop(self, database: str) -> None:
        """Remove a database, whoever is connected."""
        self._run("DROP DATABASE {} WITH (FORCE)", database)

    def _run(self, statement: str, *names: str) -> None:
        query = sql.SQL(statement).format(*map(sql.Identifier, names))
        with psycopg.connect(
            host=str(self.directory), user=_SUPERUSER, dbname="postgres", autocommit=True
        ) as connection:
            connection.execute(query)


def binaries() -> Path | None:
    """Where the newest PostgreSQL server of this machine is; None if there is none that can be run."""
    if os.getuid() == 0 and not _exists(_UNPRIVILEGED):
        return None
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda each: each.parts[-3])
    if installed:
        return installed[-1].parent
    found = shutil.which("initdb")
    return Path(found).resolve().parent if found else None


@contextmanager
def running_postgres(*, durable: bool = False, options: Sequence[str] = ()) -> Iterator[Postgres]:
    """An instance that runs as long as the block, and ends with this process even if that is killed.

    Not `durable`, it survives no crash of the machine, which is quicker. `options` are `name=value` of
    postgresql.conf. Raises HostFailure when there is no PostgreSQL here or it does not start.
    """
    with (
        cluster(durable=durable) as directory,
        started(directory, durable=durable, options=options) as instance,
    ):
        yield instance


@contextmanager
def cluster(*, durable: bool = False) -> Iterator[Path]:
    """The directory of an instance that was made and does not run yet; gone when the block ends."""
    # Both are short, for the name of a Unix socket has at most 107 bytes.
    parent = _DISK if durable or not _MEMORY.is_dir() else _MEMORY
    _sweep(parent)
    directory = Path(mkdtemp(prefix="kedge-pg-", dir=parent))
    try:
        if os.getuid() == 0:
            shutil.chown(directory, _UNPRIVILEGED)
        _make(_required(), directory / "data")
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _required() -> Path:
    where = binaries()
    if where is None:
        raise HostFailure("there is no PostgreSQL server here; on Debian, apt-get install postgresql")
    return where


def _sweep(parent: Path) -> None:
    """Remove what instances left whose users were killed; they themselves have ended with those."""
    for directory in parent.glob("kedge-pg-*"):
        lock = directory / "data" / "postmaster.pid"
        try:
            old = time.time() - directory.stat().st_mtime > _START_S
            if old and not (lock.exists() and Path("/proc", lock.read_text().split()[0]).exists()):
                shutil.rmtree(directory, ignore_errors=True)
        except OSError:
            continue  # Somebody else's, or gone in the meantime.


def _make(where: Path, data: Path) -> None:
    done = subprocess.run(
        [*_as_unprivileged(), where / "initdb", "--auth=trust", f"--username={_SUPERUSER}", "--no-sync",
         "--encoding=UTF8", "--locale=C.UTF-8", "-D", data],
        capture_output=True, text=True, check=False, cwd="/",
    )  # fmt: skip
    if done.returncode:
        raise HostFailure(f"initdb failed: {done.stderr.strip()}")


@contextmanager
def started(directory: Path, *, durable: bool = False, options: Sequence[str] = ()) -> Iterator[Postgres]:
    """Run the instance in a directory as long as the block runs, also one that was killed before."""
    where, options = _required(), (*(() if durable else _CARELESS), *options)
    settings = ["listen_addresses=", f"unix_socket_directories={directory}", "max_connections=200", *options]
    log = directory / "log"
    with log.open("w") as output:
        server = subprocess.Popen(
            # SIGINT asks PostgreSQL for a quick but orderly end; it comes also when this process dies.
            [*_as_unprivileged("--pdeathsig=INT"), where / "postgres", "-D", directory / "data",
             *(f"--{setting}" for setting in settings)],
            stdout=output, stderr=output, cwd="/",
            start_new_session=True,  # A Ctrl-C is ours; we end it when its users are done.
        )  # fmt: skip
    try:
        _wait(server, Postgres(directory, server.pid), log)
        yield Postgres(directory, server.pid)
    finally:
        server.send_signal(signal.SIGINT)
        try:
            server.wait(_START_S)
        except subprocess.TimeoutExpired:
            server.send_signal(signal.SIGQUIT)
            server.wait()


def _wait(server: "subprocess.Popen[bytes]", instance: Postgres, log: Path) -> None:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline and server.poll() is None:
        try:
            psycopg.connect(host=str(instance.directory), user=_SUPERUSER, dbname="postgres").close()
            return
        except psycopg.OperationalError:
            time.sleep(0.05)
    raise HostFailure(f"PostgreSQL did not start: {log.read_text().strip()}")


def _as_unprivileged(*options: str) -> list[str]:
    if os.getuid() != 0:
        return ["setpriv", *options] if options else []
    user = pwd.getpwnam(_UNPRIVILEGED)
    return ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups", *options]


def _exists(user: str) -> bool:
    try:
        pwd.getpwnam(user)
    except KeyError:
        return False
    return True
