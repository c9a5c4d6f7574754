"""Keeps the state of a training in the run directory, and the digests of the weights it kept."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping

from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from distlandscape.errors import InputError
from distlandscape.files import sha256, write_whole
from distlandscape.models import save_weights
from distlandscape.record.run import Run

COST_SHARE = 0.05  # of the time goes into writing at most


class TrainingJournal:
    """The newest state of a training; it counts once its line, with the file's digest, is in the log."""

    def __init__(self, run: Run) -> None:
        self._run, self._folder = run, run.path / "training"
        self._last, self._cost = time.monotonic(), 0.0

    def weights(self, step: int) -> str:
        """Name of the weights file of a step, relative to the run directory."""
        return f"weights/step-{step:06d}.safetensors"

    def keep(self, step: int, model: nn.Module) -> None:
        """Store the weights of a step, and their digest in the log."""
        path = self._run.path / self.weights(step)
        save_weights(model, path)
        self._run.log.append("weights", step=step, file=self.weights(step), sha256=sha256(path))

    def restore(self) -> Mapping[str, Tensor] | None:
        """See TrainingState.restore.

        Raises:
            InputError: the committed file is missing or was changed.
        """
        lines = self._run.log.events("training")
        if not lines:
            return None
        file = self._folder / lines[-1]["file"]
        if not file.exists() or sha256(file) != lines[-1]["sha256"]:
            raise InputError(f"{file} is missing or was changed after the run wrote it; start the training again")
        state: dict[str, Tensor] = load_file(file)
        return state

    def offer(self, step: int, state: Callable[[], Mapping[str, Tensor]]) -> None:
        """See TrainingState.offer; writes when the last time is long enough ago for what it cost."""
        began = time.monotonic()
        if step == 0 or began - self._last < self._cost / COST_SHARE:
            return
        name = f"state-{step:08d}.safetensors"
        digest = write_whole(self._folder / name, lambda path: save_file(dict(state()), path))
        self._run.log.append("training", step=step, file=name, sha256=digest)
        for older in self._folder.glob("state-*.safetensors"):
            if older.name != name:
                older.unlink()
        self._last = time.monotonic()
        self._cost = self._last - began

    def close(self) -> None:
        """Delete the state: the training is committed."""
        shutil.rmtree(self._folder, ignore_errors=True)
