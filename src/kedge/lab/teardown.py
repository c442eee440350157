"""Removes the lab, whole or half made, and nothing else.

Nothing of this relies on what the lab wrote down: processes are found by their command line, namespaces and
directories by their fixed names. So it works after `kill -9` of whatever made the lab, at any point.
"""

import shutil
from pathlib import Path

from . import fabric, processes
from .layout import FABRIC, NETNS_DIRECTORY, NODES, ROOT
from .node import find_inits


def tear_down() -> None:
    """Ends every process of the lab, then removes its devices, namespaces and files."""
    processes.kill(find_inits())
    if _is_mounted(NETNS_DIRECTORY / FABRIC.netns):
        fabric.remove_cables()
    for spec in NODES:
        _forget_namespace(NETNS_DIRECTORY / spec.netns)
    if ROOT.exists():
        shutil.rmtree(ROOT)


def leftovers() -> list[str]:
    """What there is of a lab on this machine, for people to read; empty after `tear_down`."""
    found = [f"process {process.pid}" for process in find_inits()]
    names = (NETNS_DIRECTORY / spec.netns for spec in NODES)
    found += [f"network namespace {name.name}" for name in names if name.exists()]
    if ROOT.exists():
        found.append(f"directory {ROOT}")
    return found


def _forget_namespace(name: Path) -> None:
    while _is_mounted(name):
        processes.run(["umount", str(name)])
    name.unlink(missing_ok=True)


def _is_mounted(name: Path) -> bool:
    # Path.is_mount knows directories only.
    return name.exists() and name.stat().st_dev != name.parent.stat().st_dev
