"""Serves one ASGI application on several sockets at once, where mutual TLS tells the application who calls.

On a listener with TLS, `scope["kedge.peer"]` is `{"name": common name, "role": organizational unit}` of the
client's certificate, and `scope["kedge.listener"]` is always the listener's name, so an application can tell
its owner on the Unix socket from a stranger on TCP. `scope["kedge.closing"]` is an `asyncio.Event` that is set when
the server wants to end: answers that have no end of their own should. How much a caller may take, and for how long,
are the listener's limits, which `kedge.serving` holds to.
"""

import asyncio
import contextlib
import gc
import os
import signal
import socket
import ssl
import stat
import sys
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvicorn
import uvloop

from kedge.model.errors import HostFailure
from kedge.serving import Limits
from kedge.serving.door import Door
from kedge.serving.protocol import BoundedHttp

# A long-poll that is still open when the process ends is cut off after this.
_GRACE_S = 5
_SWITCH_S = 0.0005
_STARTUP_FAILURE = 3  # as uvicorn's


@dataclass(frozen=True)
class Listener:
    """A bound socket, its limits, and the TLS context if it speaks TLS.

    Several processes may serve it, forked from its `maker`.
    """

    name: str
    socket: socket.socket
    tls: ssl.SSLContext | None = None
    path: Path | None = None
    limits: Limits = field(default_factory=Limits)
    maker: int = field(default_factory=os.getpid)

    @classmethod
    def tcp(
        cls,
        address: str,
        port: int,
        *,
        tls: ssl.SSLContext | None = None,
        name: str = "tcp",
        limits: Limits | None = None,
    ) -> "Listener":
        """Listen on TCP; port 0 takes a free one. Raises HostFailure when the address is in use or not here."""
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        try:
            server = socket.create_server((address, port), family=family, backlog=128)
        except OSError as error:
            raise HostFailure(f"can't listen on {address} port {port}: {error.strerror or error}") from error
        # Every connection inherits it. Head and body of an answer are written apart, and without this the body
        # waits for the client's acknowledgement of the head, which systems delay by 40 ms.
        server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return cls(name, server, tls, limits=limits or Limits())

    @classmethod
    def unix(
        cls, path: Path, *, mode: int = 0o600, name: str = "unix", limits: Limits | None = None
    ) -> "Listener":
        """Listen on a Unix socket that only users with `mode` can open; a stale one is replaced.

        Raises HostFailure when another process listens there, or `path` is something else.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_stale(path)
        server = socket.socket(socket.AF_UNIX)
        try:
            server.bind(str(path))
            # Nobody can connect before listen(), so the socket is never open with a wider mode.
            path.chmod(mode)
            server.listen(128)
        except OSError as error:
            server.close()
            raise HostFailure(f"can't listen on {path}: {error.strerror or error}") from error
        return cls(name, server, path=path, limits=limits or Limits())

    def remove(self) -> None:
        """Close the socket; the process that made it also removes a Unix socket's file."""
        self.socket.close()
        if self.path is not None and self.maker == os.getpid():
            self.path.unlink(missing_ok=True)

    @property
    def port(self) -> int:
        """The TCP port; 0 for a Unix socket."""
        return 0 if self.socket.family == socket.AF_UNIX else int(self.socket.getsockname()[1])


def serve(app: Any, listeners: Sequence[Listener], *, on_stop: Callable[[], None] | None = None) -> None:
    """Serve until SIGTERM or SIGINT; then `on_stop` is called, open requests end, and the sockets close.

    `on_stop` is for ending long-polls. A second signal cuts everything off.
    """
    # What is there now stays, so the garbage collector need not look through it time and again.
    gc.collect()
    gc.freeze()
    # A thread that has its answer from the database waits that long for another one that computes. With Python's 5 ms,
    # eight clients on PostgreSQL got about a fifth fewer answers.
    sys.setswitchinterval(_SWITCH_S)
    uvloop.run(_serve(app, listeners, on_stop, None))


@contextlib.contextmanager
def running(
    app: Any, listeners: Sequence[Listener], *, on_stop: Callable[[], None] | None = None
) -> Iterator[None]:
    """Serve in a thread as long as the block runs."""
    stop = threading.Event()
    with ThreadPoolExecutor(1, thread_name_prefix="server") as executor:
        served = executor.submit(lambda: uvloop.run(_serve(app, listeners, on_stop, stop)))
        try:
            yield
        finally:
            stop.set()
            served.result()


async def _serve(
    app: Any, listeners: Sequence[Listener], on_stop: Callable[[], None] | None, stop: threading.Event | None
) -> None:
    servers = [
        _Server(_config(app, listener, first=index == 0), listener)
        for index, listener in enumerate(listeners)
    ]

    def end() -> None:
        if on_stop is not None and not any(server.should_exit for server in servers):
            on_stop()
        for server in servers:
            server.end()

    loop = asyncio.get_running_loop()
    if stop is None:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, end)
    tasks = [
        asyncio.create_task(server.serve(sockets=[listener.socket]))
        for server, listener in zip(servers, listeners, strict=True)
    ]
    if stop is not None:
        while not stop.is_set() and not any(task.done() for task in tasks):
            await asyncio.sleep(0.02)
        end()
    try:
        await asyncio.gather(*tasks)
    finally:
        for listener in listeners:
            listener.remove()


class _Server(uvicorn.Server):
    """Leaves the signals to `serve`, which has several of these to stop, and the accepting to a `Door`."""

    def __init__(self, config: uvicorn.Config, listener: Listener) -> None:
        super().__init__(config)
        self._listener = listener
        self._ending = asyncio.Event()

    async def main_loop(self) -> None:
        """As uvicorn's own, which looks ten times a second whether it is to end."""
        # A tick whose number is a multiple of ten renews the date that answers carry.
        while not await self.on_tick(0):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._ending.wait(), 1.0)

    def end(self) -> None:
        """Serve no more; the second time, cut off what is under way."""
        self.force_exit = self.should_exit
        self.should_exit = True
        self._ending.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn's own, which leaves accepting to the loop."""
        await self.lifespan.startup()
        if self.lifespan.should_exit:
            sys.exit(_STARTUP_FAILURE)
        listener = self._listener

        def made(refused: Callable[[str], None], lost: Callable[[], None]) -> BoundedHttp:
            return BoundedHttp(
                self.config,
                self.server_state,
                self.lifespan.state,
                name=listener.name,
                limits=listener.limits,
                refused=refused,
                lost=lost,
            )

        door = Door(listener.name, listener.socket, listener.tls, listener.limits, made)
        self.servers = [door]  # type: ignore[list-item]
        door.open()
        self.started = True


def _config(app: Any, listener: Listener, *, first: bool) -> uvicorn.Config:
    config = uvicorn.Config(
        app,
        http=BoundedHttp,
        ws="none",
        # The application starts and ends once, however many sockets it is served on.
        lifespan="auto" if first else "off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        timeout_keep_alive=listener.limits.idle_s,  # type: ignore[arg-type]  # it goes to call_later
        timeout_graceful_shutdown=_GRACE_S,
    )
    config.load()
    return config


def _remove_stale(path: Path) -> None:
    if not path.exists():
        return
    if not stat.S_ISSOCK(path.stat().st_mode):
        raise HostFailure(f"{path} exists and is not a socket; name another path or remove it")
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            path.unlink(missing_ok=True)
            return
    raise HostFailure(f"another process listens on {path}; stop it first")
