"""Runs a command, ends it when its time is over, and writes down how it ended.

It is a program of its own, so that both outlive the control plane: `supervise.py LIMIT_S ENDED ID COMMAND…`. What the
command says goes to where this program's output goes, a file; how it ended goes to the open file with the number
ENDED. It needs the standard library only, so it starts in some milliseconds.
"""

import json
import os
import signal
import sys
import time

_LOOK_S = 0.2
_GRACE_S = 5.0
_MOST = 1 << 20
"""So many bytes of output there are on the disk, looked at so often."""


def main() -> None:
    """The program."""
    limit_s, ended, run_id, *command = sys.argv[1:]
    os.set_inheritable(int(ended), False)
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])
    how = {"id": run_id, "why": _ran(command, float(limit_s)), "at": time.time()}
    os.pwrite(int(ended), json.dumps(how).encode(), 0)


def _ran(command: list[str], limit_s: float) -> str:
    """Run it to its end, or for so long; why it failed, if it did."""
    until = time.monotonic() + limit_s
    try:
        pid = os.posix_spawnp(command[0], command, os.environ, setsid=True, setsigmask=[])
    except OSError as error:
        return f"could not be started: {error}"
    in_time = _ends(pid, until)
    try:
        if not in_time:
            os.killpg(pid, signal.SIGTERM)
            _ends(pid, time.monotonic() + _GRACE_S)
            os.killpg(pid, signal.SIGKILL)  # The leader may have ended while others of its session live on.
    except PermissionError as error:
        return f"takes longer than {limit_s:g} s and can't be ended: {error}"
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if not in_time:
        return f"took longer than {limit_s:g} s and was ended"
    if code < 0:
        return f"was ended by {signal.Signals(-code).name}"
    return f"exited with {code}" if code else ""


def _ends(pid: int, until: float) -> bool:
    """Whether it ends by then (monotonic clock, seconds). It is left a zombie, so that its number is nobody else's."""
    while os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        left_s = until - time.monotonic()
        if left_s <= 0:
            return False
        signal.sigtimedwait([signal.SIGCHLD], min(left_s, _LOOK_S))
        if os.fstat(sys.stdout.fileno()).st_size > _MOST:
            os.truncate(sys.stdout.fileno(), 0)  # It is written to at its end, wherever that is.
    return True


if __name__ == "__main__":
    main()
