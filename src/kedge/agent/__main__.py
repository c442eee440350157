"""`python -m kedge.agent --config FILE`: what `kedge agent` does, where the command line is not installed."""

import argparse
import sys
from pathlib import Path

from kedge.agent.main import run
from kedge.model.errors import KedgeError

parser = argparse.ArgumentParser(prog="kedge.agent", description="Run the agent of this host.")
parser.add_argument("--config", type=Path, required=True, help="the configuration file (TOML)")
try:
    run(parser.parse_args().config)
except KedgeError as error:
    sys.exit(str(error))
