"""Entry point for schedulers that retry on a new cluster: go on with the unfinished run in --out, else start one.

python retry.py STUDY --config FILE.yaml --out /shared/results/one-job

The folder belongs to this job alone; a run in it that is finished ends the job with success. A driver that was lost
with its machine holds the run for a minute more, which is waited for.
"""

import argparse
import sys
import time
from pathlib import Path

from distlandscape.cli.main import main
from distlandscape.record import open_run
from distlandscape.record.lease import STALE_SECONDS, held

parser = argparse.ArgumentParser(add_help=False)
parser.add_argument("--out", required=True, type=Path)
out = parser.parse_known_args()[0].out
runs = [open_run(file.parent) for file in sorted(out.glob("*/run.json"))]
if any(run.resumable for run in runs):
    patient_until = time.monotonic() + 2 * STALE_SECONDS
    while any(held(run.path) for run in runs) and time.monotonic() < patient_until:
        time.sleep(1)
    sys.exit(main(["resume", str(out)]))
if any(run.status in ("done", "unconverged") for run in runs):
    sys.exit(0)
sys.exit(main(sys.argv[1:]))
