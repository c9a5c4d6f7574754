"""Resident memory of every process while a source of 1 GB is imported and measured, beside one of 1 MB.

    make bench-memory

Prints Markdown. What an interpreter with its libraries needs is in both columns; the difference is the data's.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from tests.processes import command_line, descendants

FEATURES = 784
SIZES = {"1 MB": 2**20, "1 GB": 2**30}
QUICK = [
    *("model.options={hidden: []}", "train.steps=0", "spectrum.k=1", "spectrum.tol=0.5", "spectrum.density_draws=1"),
    *("spectrum.density_steps=2", "spectrum.trace_probes=2", "runtime.workers=2"),
]


def make_source(path: Path, size: int) -> None:
    """An uncompressed archive of random bytes; written in pieces, since this process is not the one measured."""
    samples = size // FEATURES
    x = np.lib.format.open_memmap(path.with_suffix(".npy"), "w+", np.uint8, (samples, FEATURES))
    rng = np.random.default_rng(0)
    for start in range(0, samples, 100_000):
        stop = min(start + 100_000, samples)
        x[start:stop] = rng.integers(0, 256, (stop - start, FEATURES), np.uint8)
    np.savez(path, x=x, y=np.arange(samples) % 10)
    path.with_suffix(".npy").unlink()


def peaks(arguments: list[str]) -> dict[str, float]:
    """Run a command to its end; largest resident memory in MB of its driver and of its Ray workers."""
    with tempfile.TemporaryFile("w+") as errors:
        child = subprocess.Popen(
            [sys.executable, "-m", "distlandscape.cli.main", *arguments, "--json"],
            stdout=subprocess.PIPE,
            stderr=errors,
        )
        found: dict[str, float] = {}
        while child.poll() is None:
            for pid in [child.pid, *descendants(child.pid)]:
                name = "driver" if pid == child.pid else "worker" if "BlockWorker" in command_line(pid) else None
                if name is not None:
                    found[name] = max(found.get(name, 0.0), resident(pid))
            time.sleep(0.05)
        errors.seek(0)
        assert child.returncode in (0, 3), errors.read()
        assert child.stdout is not None
        json.loads(child.stdout.read())
    return found


def resident(pid: int) -> float:
    """Peak of the resident set in MB, pages of mapped files included; 0 for a process that has gone."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM")), 0.0)


def main() -> None:
    """Print the table."""
    rows: dict[str, dict[str, float]] = {}
    for name, size in SIZES.items():
        with tempfile.TemporaryDirectory() as folder:
            source, store = Path(folder) / "source.npz", Path(folder) / "store.arrow"
            make_source(source, size)
            where = ["--set", "data.source=npz", "--set", f"data.path={source}"]
            rows[name] = {"import": peaks(["data", "import", *where, "--out", str(store)])["driver"]}
            source.unlink()
            settings = [word for a in [*QUICK, "data.source=store", f"data.path={store}"] for word in ("--set", a)]
            measured = peaks(["spectrum", *settings, "--out", str(Path(folder) / "out")])
            rows[name] |= {f"spectrum, {who}": peak for who, peak in measured.items()}
    print("| process | " + " | ".join(f"{name}, MB" for name in SIZES) + " | difference, MB |")
    print("|---|" + "---|" * (len(SIZES) + 1))
    for process, small in rows["1 MB"].items():
        large = rows["1 GB"][process]
        print(f"| {process} | {small:.0f} | {large:.0f} | {large - small:.0f} |")


if __name__ == "__main__":
    main()
