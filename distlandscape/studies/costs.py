"""What a pass costs on so many workers: a model of few terms, calibrated by what the plan measured."""

from __future__ import annotations

from dataclasses import dataclass

from distlandscape.runtime.tree import shares

PROCESS_BYTES = 400 * 2**20  # of a worker that has imported torch, before it holds anything
CALL_SECONDS, WORKER_SECONDS = 0.005, 0.001  # of a pass with nothing to compute, and of each worker in it
GB, MB = 2**30, 2**20
BASIS = 100  # Lanczos vectors of a typical stage


def count(workers: int) -> str:
    """Workers, in words."""
    return f"{workers} worker{'' if workers == 1 else 's'}"


@dataclass(frozen=True)
class Costs:
    """What a run consists of, and what was measured on this machine.

    Attributes:
        parameters: P.
        blocks: of the data.
        block_seconds: of one product on one block, on one worker.
        sample_bytes: of all samples.
        vector_bytes: of one number of a vector, 4 or 8.
        memory_rate: bytes a second that Gram-Schmidt reads from memory.
        network_rate: bytes a second into, and out of, one machine.
        local_workers: workers that fit on this machine, where vectors go through memory and not a network.
        transport: store or collective.
    """

    parameters: int
    blocks: int
    block_seconds: float
    sample_bytes: float
    vector_bytes: int
    memory_rate: float
    network_rate: float
    local_workers: int
    transport: str

    def described(self, passes: float) -> list[str]:
        """What was measured, and what is expected to be done."""
        return [
            f"{self.parameters:,} parameters, {self.blocks} blocks of {self.block_seconds:.4g} s a product; roughly"
            f" {passes:.0f} passes; training is not counted"
        ]

    def told(self, workers: int, passes: float) -> str:
        """The expectation in a line."""
        plan = self.plan(workers, passes)
        return (
            f"roughly {passes:.0f} passes over the data: about {plan.total_seconds:.0f} s on {count(workers)},"
            f" {plan.worker_bytes / GB:.2f} GB each and {plan.driver_bytes / GB:.2f} GB in the driver,"
            f" {plan.moved_bytes / MB:.1f} MB moved a pass, {plan.disk_bytes / GB:.2f} GB on disk"
        )

    def plan(self, workers: int, passes: float) -> Plan:
        """Time, memory and bytes with so many workers; each beyond ``local_workers`` has a machine of its own."""
        dealt = shares(self.blocks, workers)
        largest = max(sum(subtree.size for subtree in share) for share in dealt)
        subtrees = sum(len(share) for share in dealt)
        vector, total = self.vector_bytes * self.parameters, 8 * self.parameters
        rate = self.memory_rate if workers <= self.local_workers else self.network_rate
        orthogonalise = 4 * BASIS / 2 * vector / self.memory_rate  # two sweeps, each reads the basis twice
        if self.transport == "collective":
            moved = workers * (1 - 1 / workers) * (vector + subtrees / workers * total)
            travel = moved / workers / rate  # every machine sends and receives its part at once
            add = 3 * subtrees * total / workers / self.memory_rate
            orthogonalise /= workers
            held, driver = BASIS * vector / workers, 0.0
        else:
            moved = workers * vector + subtrees * total
            travel = moved / rate  # all of it through the driver
            add = 3 * subtrees * total / self.memory_rate
            held, driver = 0.0, BASIS * vector + 2.0 * total
        seconds = self.block_seconds * largest + travel + add + CALL_SECONDS + WORKER_SECONDS * workers
        return Plan(
            workers=workers,
            pass_seconds=seconds,
            total_seconds=passes * (seconds + orthogonalise),
            worker_bytes=PROCESS_BYTES + held + vector + 3.0 * total + self.sample_bytes / workers,
            driver_bytes=PROCESS_BYTES + driver,
            moved_bytes=moved,
            disk_bytes=self.sample_bytes + BASIS * vector,
        )


@dataclass(frozen=True)
class Plan:
    """What is expected of one number of workers.

    Attributes:
        workers: how many.
        pass_seconds: one pass over the data for one vector.
        total_seconds: all passes of the study with their Gram-Schmidt, without training.
        worker_bytes: memory of a worker, without linearisations it keeps where there is room.
        driver_bytes: memory of the driver.
        moved_bytes: between processes in one pass.
        disk_bytes: block store and basis of one stage.
    """

    workers: int
    pass_seconds: float
    total_seconds: float
    worker_bytes: float
    driver_bytes: float
    moved_bytes: float
    disk_bytes: float
