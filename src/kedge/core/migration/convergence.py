"""Which step of a convergence schedule is due: a pure function of how long nothing got better, and what was done.

QEMU sends the memory in rounds, each with what the guest wrote during the one before. A round without progress is one
in which the memory that remains reached no new low (`pace.LowMark`).
"""

from collections.abc import Sequence

from kedge.model.convergence import StallStep


def next_step(schedule: Sequence[StallStep], stalled: int, done: int) -> StallStep | None:
    """The next step after so many rounds without progress, with the first `done` ones done; None if none is due.

    One step is due at a time, and each once: progress in between takes nothing back.
    """
    if done < len(schedule) and stalled >= schedule[done].after:
        return schedule[done]
    return None
