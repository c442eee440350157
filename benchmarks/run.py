"""All benchmarks: writes `benchmarks/results/*.json` and prints tables. Run by `make bench`."""

import json
import os
import platform
from pathlib import Path
from typing import Any

from . import at_once, moves, network, rewrite

RESULTS = Path(__file__).parent / "results"


def main() -> None:
    """Measure, write, print."""
    RESULTS.mkdir(exist_ok=True)
    _keep("rewrite", rewrite.run())
    print(rewrite.table(json.loads((RESULTS / "rewrite.json").read_text())))
    _keep("network", network.run())
    print(network.table(json.loads((RESULTS / "network.json").read_text())))
    result = moves.run()
    _keep("moves", result)
    print(moves.table(result))
    result = at_once.run()
    _keep("at_once", result)
    print(at_once.table(result))


def _keep(name: str, result: dict[str, Any]) -> None:
    machine = {"cpus": os.cpu_count(), "kernel": platform.release(), "python": platform.python_version()}
    load = os.getloadavg()
    text = json.dumps({"machine": machine, "load_average": load, **result}, indent=1)
    (RESULTS / f"{name}.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
