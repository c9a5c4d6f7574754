"""The schema of a run's configuration: one for YAML, command line and job."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from distlandscape.errors import InputError


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class DataConfig(_Section):
    """Which samples the loss is summed over, and how they are cut into blocks."""

    source: str = "digits"
    path: str | None = None
    samples: int | None = Field(None, ge=1)
    classes: tuple[int, ...] | None = None
    seed: int = Field(0, ge=0)
    blocks: int | None = Field(None, ge=1)


class ModelConfig(_Section):
    """Which network, with which weights (None: initialised from train.seed)."""

    name: str = "mlp"
    weights: str | None = None
    options: dict[str, Any] = Field(default_factory=dict)


class ObjectiveConfig(_Section):
    """The loss, the parameters it is a function of, and the precision."""

    loss: Literal["cross_entropy", "mse"] = "cross_entropy"
    parameters: tuple[str, ...] | None = None
    norm: Literal["population"] = "population"
    dtype: Literal["float32", "float64"] = "float32"


class TrainConfig(_Section):
    """Seeded training on the spot: SGD with momentum, checkpoints spaced evenly in log(step)."""

    steps: int | None = Field(None, ge=0, description="None: 0 when model.weights is given, else 500")
    seed: int = Field(0, ge=0)
    learning_rate: float = Field(0.1, gt=0)
    momentum: float = Field(0.9, ge=0, lt=1)
    batch_size: int = Field(128, ge=1)
    checkpoints: int = Field(1, ge=1, description="how many weights are kept; the last is always among them")


class SpectrumConfig(_Section):
    """What the spectrum study measures, and how exactly."""

    operator: Literal["hessian", "gauss_newton"] = "hessian"
    k: int = Field(10, ge=1, description="largest eigenpairs")
    lowest: int = Field(0, ge=0, description="smallest eigenpairs")
    tol: float = Field(1e-3, gt=0, lt=1, description="residual relative to each |eigenvalue|")
    max_steps: int | None = Field(None, ge=2)
    seed: int = Field(0, ge=0)
    density_draws: int = Field(2, ge=1)
    density_steps: int = Field(80, ge=2)
    trace_probes: int = Field(16, ge=2)


class RuntimeConfig(_Section):
    """Where the products run."""

    workers: int = Field(2, ge=0, description="Ray actors; 0 runs in the driver, without Ray")
    transport: Literal["store"] = "store"
    cpus_per_worker: float = Field(1, gt=0)
    gpus_per_worker: float = Field(0, ge=0)
    threads: int | None = Field(None, ge=1, description="threads per worker; None: the CPUs a worker has")
    micro_batch: int | None = Field(None, ge=1, description="None: a fixed rule by device type")


class TrackingConfig(_Section):
    """The MLflow mirror; uri None is a sqlite file in the output folder."""

    uri: str | None = None
    experiment: str = Field("distlandscape", min_length=1)


class RunConfig(_Section):
    """Everything a study needs to know; frozen, and hashed into the run's identity."""

    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()
    objective: ObjectiveConfig = ObjectiveConfig()
    train: TrainConfig = TrainConfig()
    spectrum: SpectrumConfig = SpectrumConfig()
    runtime: RuntimeConfig = RuntimeConfig()
    tracking: TrackingConfig = TrackingConfig()

    def digest(self) -> str:
        """sha256 of what decides the numbers: where the products run and who follows them do not."""
        numbers = self.model_dump(mode="json", exclude={"tracking": True, "runtime": True})
        return hashlib.sha256(json.dumps(numbers, sort_keys=True).encode()).hexdigest()


def load_config(file: str | Path | None = None, assignments: tuple[str, ...] | list[str] = ()) -> RunConfig:
    """Read a YAML file, apply ``a.b=value`` assignments (values are YAML), validate.

    Raises:
        InputError: unreadable file, unknown key, value out of range; the sentence names the key.
    """
    tree: dict[str, Any] = {}
    if file is not None:
        tree = _read_yaml(Path(file))
    for assignment in assignments:
        _assign(tree, assignment)
    return validate_config(tree)


def validate_config(tree: dict[str, Any]) -> RunConfig:
    """Turn a nested mapping into a RunConfig, or say in one sentence which key is wrong."""
    try:
        return RunConfig.model_validate(tree)
    except ValidationError as error:
        raise InputError(_sentence(error)) from None


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"cannot read the configuration {path}: {error.strerror}; give an existing YAML file") from None
    except UnicodeDecodeError:
        raise InputError(f"the configuration {path} is not UTF-8 text; give a YAML file") from None
    except yaml.YAMLError as error:
        where = getattr(error, "problem_mark", None)
        line = f" at line {where.line + 1}" if where is not None else ""
        raise InputError(f"the configuration {path} is not valid YAML{line}; correct it") from None
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise InputError(f"the configuration {path} must be a mapping of sections, not a {type(tree).__name__}")
    return tree


def _assign(tree: dict[str, Any], assignment: str) -> None:
    key, equals, text = assignment.partition("=")
    parts = key.strip().split(".")
    if not equals or not all(parts):
        raise InputError(f"--set {assignment!r} is not of the form section.key=value, for example spectrum.k=20")
    try:
        value = _number(yaml.safe_load(text))
    except yaml.YAMLError:
        raise InputError(f"--set {assignment!r}: the value is not valid YAML; quote it") from None
    for part in parts[:-1]:
        branch = tree.setdefault(part, {})
        if not isinstance(branch, dict):
            raise InputError(f"--set {assignment!r}: {part!r} is not a section with keys")
        tree = branch
    tree[parts[-1]] = value


def _number(value: Any) -> Any:
    """YAML 1.1 reads 1e-3 as text; people mean a number."""
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return value
    return value


def _sentence(error: ValidationError) -> str:
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"]) or "the configuration"
    if first["type"] == "extra_forbidden":
        known = _known_keys(first["loc"])
        return f"unknown configuration key {key!r}; known here: {', '.join(known)}"
    message = first["msg"][0].lower() + first["msg"][1:]
    return f"configuration key {key!r} is {first['input']!r}, but {message}; correct it"


def _known_keys(location: tuple[int | str, ...]) -> list[str]:
    model: type[BaseModel] = RunConfig
    for part in location[:-1]:
        annotation = model.model_fields[str(part)].annotation
        assert isinstance(annotation, type) and issubclass(annotation, BaseModel)
        model = annotation
    return sorted(model.model_fields)
