"""Entry point for schedulers that retry on a new cluster: go on with the unfinished run in --out, else start one.

python retry.py STUDY --config FILE.yaml --out /shared/results/one-job

The folder belongs to this job alone; a run in it that is finished ends the job with success.
"""

import argparse
import sys
from pathlib import Path

from distlandscape.cli.main import main
from distlandscape.record import open_run

parser = argparse.ArgumentParser(add_help=False)
parser.add_argument("--out", required=True, type=Path)
out = parser.parse_known_args()[0].out
runs = [open_run(file.parent) for file in sorted(out.glob("*/run.json"))]
if any(run.resumable for run in runs):
    sys.exit(main(["resume", str(out)]))
if any(run.status in ("done", "unconverged") for run in runs):
    sys.exit(0)
sys.exit(main(sys.argv[1:]))
