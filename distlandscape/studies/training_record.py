"""What a training leaves in the run directory: weights, the state it can go on from, and its curve."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Collection, Iterable
from pathlib import Path

import pyarrow as pa
from safetensors.torch import load_file, save_file
from torch import nn

from distlandscape.files import remove_files, require_unchanged, write_whole
from distlandscape.models import save_weights
from distlandscape.record.run import Run
from distlandscape.training import State

CURVE = "training"
COST_SHARE = 0.05  # of the time goes into keeping the state at most
FIRST_SECONDS = 1.0  # a training shorter than this is repeated faster than its state is written


def weights_file(run: Run, step: int) -> Path:
    """Where the weights of a step are kept."""
    return run.path / "weights" / f"step-{step:06d}.safetensors"


def verified(run: Run, steps: Iterable[int]) -> list[tuple[int, Path, str]]:
    """Step, weights file and its sha256 of checkpoints that are kept already.

    Raises:
        InputError: a file is missing or was changed.
    """
    digests = {int(line["step"]): str(line["sha256"]) for line in run.log.events("checkpoint")}
    found = [(step, weights_file(run, step), digests.get(step, "")) for step in steps]
    for _, file, digest in found:
        require_unchanged(file, digest)
    return found


class TrainingRecord:
    """Journal of a training, in the run directory.

    A state counts once its line, with the digest of its file, is in the log; the newest alone is kept. So often that
    it takes less than a twentieth of the time, the state and the curve so far are written and ``publish`` is called.

    Args:
        run: the run directory.
        keep_at: steps whose weights are kept.
        curve_at: steps whose mini-batch loss is written down.
        rate: the learning rate of the update that a step ends with.
        publish: shows others what the run directory holds now.
    """

    def __init__(
        self,
        run: Run,
        keep_at: Collection[int],
        curve_at: Collection[int],
        rate: Callable[[int], float],
        publish: Callable[[], object],
    ) -> None:
        self._run, self._keep_at, self._rate, self._publish = run, keep_at, rate, publish
        self._curve_at = set(curve_at)
        self._curve: list[tuple[int, float]] = []
        self._logged = 0  # rows of the curve that are in the log
        self._folder = run.path / "training"
        self._due = time.monotonic() + FIRST_SECONDS

    def keep(self, step: int, model: nn.Module) -> None:
        """Keep the weights of a step."""
        file = weights_file(self._run, step)
        digest = save_weights(model, file)
        self._run.log.append("checkpoint", step=step, file=file.name, sha256=digest)

    def report(self, step: int, loss: float) -> None:
        """Take note of a mini-batch."""
        if step in self._curve_at:
            self._curve.append((step, loss))

    def restore(self) -> tuple[int, State] | None:
        """See training's Journal.

        Raises:
            InputError: the state, or the weights of an earlier step, are missing or were changed.
        """
        lines = self._run.log.events("training")
        if not lines:
            return None
        step, file = int(lines[-1]["step"]), self._folder / lines[-1]["file"]
        require_unchanged(file, lines[-1]["sha256"])
        verified(self._run, [kept for kept in self._keep_at if kept < step])
        self._curve = [(int(at), float(loss)) for line in lines for at, loss in line["curve"]]
        self._logged = len(self._curve)
        return step, load_file(file)

    def commit(self, step: int, state: Callable[[], State]) -> None:
        """See training's Journal."""
        began = time.monotonic()
        if began < self._due:
            return
        file = self._folder / f"step-{step:06d}.safetensors"
        digest = write_whole(file, lambda part: save_file(state(), part))
        curve = self._curve[self._logged :]
        self._run.log.append("training", step=step, file=file.name, sha256=digest, curve=curve)
        self._logged = len(self._curve)
        self._remove_all_but(file.name)
        self.write_curve()
        self._publish()
        now = time.monotonic()
        self._due = now + (now - began) / COST_SHARE

    def write_curve(self) -> str | None:
        """Store the table ``training``: loss and learning rate of the mini-batches so far; its sha256, if any."""
        rows = [{"step": step, "loss": loss, "learning_rate": self._rate(step)} for step, loss in self._curve]
        return self._run.write_table(CURVE, pa.Table.from_pylist(rows)) if rows else None

    def close(self) -> None:
        """Delete the state: the training is done."""
        self._remove_all_but(None)
        with contextlib.suppress(FileNotFoundError):
            self._folder.rmdir()

    def _remove_all_but(self, name: str | None) -> None:
        remove_files(self._folder, lambda file: file.name != name)
