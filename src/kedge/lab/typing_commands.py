"""Runs the `kedge` command against the lab's control plane, as a person does."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence

from rich.console import Console

from .cloud import URL

_LOOK_S = 0.1


def kedge(*arguments: str, timeout_s: float = 300.0) -> subprocess.CompletedProcess[str]:
    """Run it to its end; what it wrote is kept, and it may fail."""
    return subprocess.run(
        _command(arguments),
        env={**os.environ, "KEDGE_URL": URL},
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout_s,
    )


def typed(console: Console, *arguments: str, meanwhile: Callable[[], None] = lambda: None) -> int:
    """Show it as it is typed, and what it says while it says it; its exit code. `meanwhile` is called now and then."""
    console.print(f"[bold]$ kedge {' '.join(arguments)}[/]")
    colour = {"FORCE_COLOR": "1"} if console.is_terminal else {}
    environment = {**os.environ, **colour, "KEDGE_URL": URL, "COLUMNS": str(console.width)}
    sys.stdout.flush()
    with subprocess.Popen(_command(arguments), env=environment) as process:
        try:
            while process.poll() is None:
                meanwhile()
                time.sleep(_LOOK_S)
        except BaseException:
            process.kill()
            raise
    return process.returncode


def _command(arguments: Sequence[str]) -> list[str]:
    return [sys.executable, "-m", "kedge", *arguments]
