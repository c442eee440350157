"""Several processes that do the same work, and a parent that does nothing but keep them alive.

They are forked, so what they inherit, such as listening sockets, is theirs without further ado, and the code is in
memory once. The parent must have no threads and no open connections when it forks.
"""

import ctypes
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from typing import NoReturn

import structlog

log = structlog.get_logger()

_CHECK_S = 1.0
"""How often the parent looks after its workers; one that always dies at once is started this often, not more."""

_GRACE_S = 15.0
"""A worker that has not ended by then, after it was told to, is killed."""

_ENDING = {signal.SIGTERM, signal.SIGINT}
_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def keep_working(number: int, work: Callable[[], None]) -> None:
    """Run `work` in this many processes until SIGTERM or SIGINT, and start another for each that dies.

    `work` must end soon after SIGTERM, which the workers also get when this process dies, however that comes.
    """
    parent = os.getpid()
    # Waited for instead of handled: no signal can come between a fork and the note that it was made.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)
    workers: set[int] = set()
    try:
        while True:
            while len(workers) < number:
                workers.add(os.fork() or _be_worker(parent, work))
            if signal.sigtimedwait(_ENDING, _CHECK_S):
                return
            for pid, code in _ended(workers):
                log.warning("a worker ended and is replaced", pid=pid, exit_code=code)
    finally:
        # A worker never comes here.
        _end(workers)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _be_worker(parent: int, work: Callable[[], None]) -> NoReturn:
    code = 1
    try:
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() == parent:  # else it died before we could ask to be told
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDING)
            work()
            code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        # Not sys.exit: what stands above in the stack is the parent's, and it alone cleans up after itself.
        sys.stderr.flush()
        os._exit(code)


def _ended(workers: set[int]) -> list[tuple[int, int]]:
    """Those that ended, with their exit codes (of a signal: its number, negative); they are no workers any more."""
    found = []
    for pid in list(workers):
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            workers.discard(pid)
            found.append((pid, os.waitstatus_to_exitcode(status)))
    return found


def _end(workers: set[int]) -> None:
    for pid in workers:
        os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + _GRACE_S
    while workers and time.monotonic() < deadline:
        _ended(workers)
        time.sleep(0.02)
    for pid in workers:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
