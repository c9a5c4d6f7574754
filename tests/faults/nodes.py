"""Nodes lost and added: a cluster of fake nodes on this machine, in a process of its own.

``python -m tests.faults.nodes OUT DATABASE TRANSPORT`` prints one JSON line.
"""

import json
import os
import sys
import threading
import time
from pathlib import Path

os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"  # loopback; before ray is imported

import ray
import torch
from ray.cluster_utils import Cluster

from tests.faults import study
from tests.faults.inside import Watched, disturbed

WORKERS = 3
LONGER = ["spectrum.density_draws=3", "spectrum.density_steps=60", "spectrum.trace_probes=8"]  # nodes take seconds


def wait_until(holds):
    """For a minute at most; what is found is said by the figures of the caller."""
    end = time.monotonic() + 60
    while not holds() and time.monotonic() < end:
        time.sleep(0.02)


def main(out, database, transport):
    """A run of three workers on three nodes, one of which is lost and one added while it goes on."""
    torch.set_num_threads(1)
    cluster = Cluster(
        initialize_head=True,
        connect=True,
        shutdown_at_exit=False,
        head_node_args={"num_cpus": 1, "include_dashboard": False},
    )
    extra = [cluster.add_node(num_cpus=1) for _ in range(2)]
    seen = {}
    reference = study.measured(study.start(study.tracked(Path(out) / "reference", database), 0, extra=LONGER).run.path)

    def saboteur(run_dir):
        study.wait_for_commits(run_dir, 10)
        seen["homes"] = len({member.node for member in Watched.last._crew.members})
        cluster.remove_node(extra[0], allow_graceful=False)
        struck = time.time()
        wait_until(lambda: len(Watched.last.pids) < WORKERS)
        study.wait_for_commits(run_dir, study.commits(run_dir) + 6)
        seen["with fewer"], seen["after"] = len(Watched.last.pids), time.time() - struck
        Watched.hold = threading.Event()  # or the run may be over before the node is there
        try:
            cluster.add_node(num_cpus=1)
            ray.wait(Watched.last._crew.coming, timeout=60)
        finally:
            Watched.hold.set()
        wait_until(lambda: len(Watched.last.pids) == WORKERS)
        seen["with the new one"] = len(Watched.last.pids)

    try:
        run_dir = disturbed(
            study.tracked(Path(out) / "run", database),
            transport,
            WORKERS,
            saboteur,
            [*LONGER, "runtime.cpus_per_worker=1"],
        )
        faults = [event["text"] for event in study.Run.open(run_dir).log.events("fault")]
        seen["same"] = study.measured(run_dir) == reference
        print(json.dumps({"faults": faults, **seen}))
    finally:
        ray.shutdown()
        cluster.shutdown()


if __name__ == "__main__":
    main(*sys.argv[1:])
