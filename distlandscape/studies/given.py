"""Checkpoints that a user brings: a folder of weights files, one a step."""

from __future__ import annotations

import copy
import hashlib
import json
import re
from pathlib import Path

from torch import nn

from distlandscape.config import RunConfig
from distlandscape.errors import InputError
from distlandscape.files import sha256
from distlandscape.models import load_weights, save_weights
from distlandscape.objective import Objective
from distlandscape.record.run import Run, Stage
from distlandscape.studies.training_record import verified, weights_file

ENDINGS = (".safetensors", ".pt", ".pth")


def given_files(folder: str) -> list[tuple[int, Path]]:
    """(step, file) in the order of steps; the step is the last number in the file's name.

    Raises:
        InputError: no such folder, no weights files in it, one without a number, or two of one step.
    """
    path = Path(folder)
    if not path.is_dir():
        raise InputError(f"emergence.checkpoints {path} is not an existing folder; give one with weights files")
    found: dict[int, Path] = {}
    for file in sorted(path.iterdir()):
        if file.suffix not in ENDINGS:
            continue
        numbers = re.findall(r"\d+", file.stem)
        if not numbers:
            raise InputError(f"{file} has no step in its name; name it, for example, step-000100{file.suffix}")
        step = int(numbers[-1])
        if step in found:
            raise InputError(f"{found[step]} and {file} are both of step {step}; keep one of them")
        found[step] = file
    if not found:
        raise InputError(f"{path} holds no weights files ({', '.join(ENDINGS)}); give a folder with checkpoints")
    return sorted(found.items())


def check_given(folder: str, objective: Objective) -> None:
    """Raise InputError where a file does not fit the model, or does not give finite numbers."""
    for _, file in given_files(folder):
        _model(objective, file)


def given_checkpoints(run: Run, folder: str, objective: Objective) -> list[tuple[int, Path]]:
    """(step, file in the run directory) of every checkpoint; copied once, so that a resume needs no source.

    Raises:
        InputError: see ``given_files`` and ``load_weights``, or a copy is missing or was changed.
    """
    done = run.stage("train")
    if done is None:
        steps = []
        for step, file in given_files(folder):
            kept = weights_file(run, step)
            digest = save_weights(_model(objective, file), kept)
            run.log.append("checkpoint", step=step, file=kept.name, sha256=digest)
            steps.append(step)
        done = Stage({}, {"steps": steps})
        run.commit_stage("train", done)
    return [(step, file) for step, file, _ in verified(run, done.values["steps"])]


def input_digests(study: str, config: RunConfig) -> dict[str, str]:
    """sha256 of the files a run is given beside its data, by the key that names them."""
    named = {"model.weights": config.model.weights}
    if study == "goldilocks":
        named["goldilocks.point"] = config.goldilocks.point
    found = {key: sha256(Path(file)) for key, file in named.items() if file is not None}
    if study == "emergence" and config.emergence.checkpoints is not None:
        each = [(step, sha256(file)) for step, file in given_files(config.emergence.checkpoints)]
        found["emergence.checkpoints"] = hashlib.sha256(json.dumps(each).encode()).hexdigest()
    return found


def require_inputs(run: Run, config: RunConfig) -> None:
    """Raise InputError where a file that a run was given, and still needs, is gone or another now."""
    try:
        now = input_digests(run.study, config)
    except OSError as error:
        raise InputError(
            f"{error.filename}, which the run was given, cannot be read ({error.strerror}); put it back"
        ) from None
    for key, digest in run.identity["inputs"].items():
        if now.get(key) != digest:
            raise InputError(f"the files of {key} were changed after the run began; put them back, or start a new run")


def _model(objective: Objective, file: Path) -> nn.Module:
    model = copy.deepcopy(objective.model)
    load_weights(model, file)
    return model
