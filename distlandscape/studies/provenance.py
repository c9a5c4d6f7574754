"""Where numbers come from: what has to be equal for two runs to agree to the bit, and what the code was."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from distlandscape.config import RunConfig
from distlandscape.objective import Objective
from distlandscape.runtime.runner import Runner

PACKAGES = ("distlandscape", "torch", "ray", "numpy", "scipy", "pyarrow", "mlflow")


def versions() -> dict[str, str]:
    """Versions of the packages the numbers depend on, and of Python."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed as a package"
    return found


def git_commit() -> str | None:
    """Commit of the checkout the code runs from, None outside one."""
    try:
        answer = subprocess.run(
            ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"], capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        return None
    return answer.stdout.strip() or None if answer.returncode == 0 else None


def job_id() -> str | None:
    """Submission id of the Ray job this process belongs to, None outside one."""
    try:
        found = json.loads(os.environ["RAY_JOB_CONFIG_JSON_ENV_VAR"])["metadata"]["job_submission_id"]
    except (KeyError, TypeError, ValueError):
        return None
    return str(found)


def described_model(config: RunConfig) -> str:
    """The model's name and options, in words."""
    options = ", ".join(f"{name} {value}" for name, value in config.model.options.items())
    return f"{config.model.name} ({options})" if options else config.model.name


def provenance(config: RunConfig, objective: Objective, runner: Runner) -> dict[str, Any]:
    """Everything equal bits depend on."""
    return {
        "data_sha256": objective.data.digest,
        "blocks": objective.data.blocks,
        "config_sha256": config.digest(),
        "dtype": config.objective.dtype,
        "threads": runner.threads,
        "micro_batch": runner.micro_batch,
        "product": config.runtime.product,
        "channels_last": config.runtime.channels_last,
        "device": runner.device,
        "instruction_set": torch.backends.cpu.get_cpu_capability(),
        "versions": versions(),
    }
