"""The schema of a run's configuration: one for YAML, command line and job."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, JsonValue, ValidationError, field_validator

from distlandscape.config_text import brief, parse, problem, read_mapping
from distlandscape.errors import InputError


def _no_bool(value: Any) -> Any:
    """Python counts true as 1; a person who wrote it meant something else."""
    if isinstance(value, bool):
        raise ValueError("it must be a number, not true or false")
    return value


def _all_or_patterns(value: Any) -> Any:
    """``all`` stands for the pattern that every layer matches."""
    if isinstance(value, str):
        if value != "all":
            raise ValueError(f"it must be all, or a list of patterns of layer names, for example [{value}]")
        return ("*",)
    return value


Integer = Annotated[int, BeforeValidator(_no_bool)]
Real = Annotated[float, BeforeValidator(_no_bool)]
Layers = Annotated[tuple[str, ...], BeforeValidator(_all_or_patterns)]
MAX_SEED = 2**63 - 1  # what torch's generators take


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class DataConfig(_Section):
    """Which samples the loss is summed over, and how they are cut into blocks."""

    source: str = "digits"
    path: str | None = None
    split: Literal["train", "test"] = Field("train", description="what is measured; training always uses train")
    samples: Integer | None = Field(None, ge=1)
    classes: tuple[Integer, ...] | None = None
    scaling: Literal["none", "unit", "standard"] | None = Field(
        None, description="unit: bytes / 255; standard: per channel, by the train split; None: unit for bytes"
    )
    target: str = Field("y", min_length=1, description="column of a table that holds the targets")
    options: dict[str, JsonValue] = Field(default_factory=dict, description="arguments of a dataset's factory")
    random_labels: bool = Field(False, description="deal the targets out to the samples anew, seeded by data.seed")
    seed: Integer = Field(0, ge=0, le=MAX_SEED)
    blocks: Integer | None = Field(None, ge=1)


class ModelConfig(_Section):
    """Which network, with which weights (None: initialised from train.seed)."""

    name: str = "mlp"
    weights: str | None = None
    options: dict[str, JsonValue] = Field(default_factory=dict)


class ObjectiveConfig(_Section):
    """The loss, the parameters it is a function of, and the precision."""

    loss: Literal["cross_entropy", "mse"] = "cross_entropy"
    parameters: tuple[str, ...] | None = None
    norm: Literal["population", "batch"] = "population"
    norm_samples: Integer = Field(256, ge=2, description="size of the statistics batch of norm=batch")
    weight_decay: Real = Field(0, ge=0, description="λ of (λ/2)|θ|², a part of the objective")
    label_smoothing: Real = Field(0, ge=0, lt=1)
    dtype: Literal["float32", "float64"] = "float32"


class TrainConfig(_Section):
    """Seeded training: SGD with momentum or Adam, checkpoints spaced evenly in log(step)."""

    steps: Integer | None = Field(None, ge=0, description="None: 0 when a study is given model.weights, else 500")
    seed: Integer = Field(0, ge=0, le=MAX_SEED)
    optimizer: Literal["sgd", "adam"] = "sgd"
    learning_rate: Real = Field(0.1, gt=0)
    momentum: Real = Field(0.9, ge=0, lt=1, description="of sgd; adam has its own, 0.9 and 0.999")
    schedule: Literal["constant", "cosine", "step"] = Field(
        "constant", description="cosine: down to 0 at the end; step: a tenth after 1/2 and after 3/4 of the steps"
    )
    warmup_steps: Integer = Field(0, ge=0, description="steps over which the learning rate rises to its value")
    batch_size: Integer = Field(128, ge=1)
    checkpoints: Integer | None = Field(
        None,
        ge=1,
        description="weights kept, the last among them; None: 1, for train 10, for clustering 5, for emergence 9",
    )


class SpectrumConfig(_Section):
    """What the spectrum study measures, and how exactly."""

    operator: Literal["hessian", "gauss_newton", "residual", "fisher"] = "hessian"
    fisher_labels: Literal["model", "data", "sampled"] = Field("model", description="labels of operator=fisher")
    k: Integer = Field(10, ge=1, description="largest eigenpairs")
    lowest: Integer = Field(0, ge=0, description="smallest eigenpairs")
    tol: Real = Field(1e-3, gt=0, lt=1, description="residual relative to each |eigenvalue|")
    max_steps: Integer | None = Field(None, ge=2)
    basis_size: Integer | None = Field(
        None, ge=4, description="most Lanczos vectors kept, then a thick restart; None: all, which needs fewest passes"
    )
    block: Integer = Field(
        1, ge=1, description="vectors a pass multiplies in the search for eigenpairs: fewer passes, more products"
    )
    seed: Integer = Field(0, ge=0, le=MAX_SEED)
    warm_start: bool = Field(
        False,
        description="begin from the eigenvectors of the checkpoint before: about 6 % fewer products over 20"
        " checkpoints of digits networks, at some of them none (make bench-warm)",
    )
    density_draws: Integer = Field(2, ge=1)
    density_target: Real | None = Field(
        None, gt=0, lt=1, description="add draws until their error, over the range of the eigenvalues, is at most this"
    )
    density_max_draws: Integer = Field(32, ge=3, description="most draws of density_target")
    density_steps: Integer = Field(80, ge=2)
    trace_probes: Integer = Field(16, ge=2)
    layers: Layers | None = Field(
        None, description="all, or patterns of layer names: measure each one's diagonal block, too"
    )
    layer_density_steps: Integer | None = Field(None, ge=2, description="None: no density of each layer's block")


class HierarchyConfig(_Section):
    """What the hierarchy study measures, and how exactly."""

    k: Integer | None = Field(None, ge=1, description="leading eigenpairs; None: two more than there are classes")
    tol: Real = Field(1e-3, gt=0, lt=1, description="residual relative to each |eigenvalue|")
    max_steps: Integer | None = Field(None, ge=2)
    seed: Integer = Field(0, ge=0, le=MAX_SEED)
    trace_probes: Integer = Field(32, ge=2, description="where traces of G2 and G3 are too large to be exact")
    kernel: bool = Field(False, description="the kernel of all samples too, at most 10,000 samples × classes")


class EmergenceConfig(_Section):
    """What the emergence study measures at every checkpoint, and how exactly."""

    checkpoints: str | None = Field(None, description="folder of weights files to measure; None: train")
    tol: Real = Field(1e-3, gt=0, lt=1, description="residual relative to each |eigenvalue|")
    max_steps: Integer | None = Field(None, ge=2)
    seed: Integer = Field(0, ge=0, le=MAX_SEED)
    trace_probes: Integer = Field(16, ge=2)
    plane: Integer = Field(20, ge=2, description="dimension of the random plane whose curvature is measured")
    density_steps: Integer = Field(60, ge=2, description="of the last checkpoint's density")
    projected_steps: Integer = Field(
        0, ge=0, description="of descent from the middle checkpoint: full, only onto, only out of the top subspace"
    )
    draws: Integer = Field(200, ge=2, description="of the random model, for the scatter of its predictions")


class TheorySet(_Section):
    """Parameters of the random model that differ from the section's own."""

    classes: Integer | None = Field(None, ge=2)
    examples: Integer | None = Field(None, ge=1)
    dim: Integer | None = Field(None, ge=2)
    sigma_c: Real | None = Field(None, ge=0)
    sigma_e: Real | None = Field(None, gt=0)
    sigma_z: Real | None = Field(None, ge=0)


class TheoryConfig(_Section):
    """The random model: its parameters, and what is swept."""

    classes: Integer = Field(10, ge=2)
    examples: Integer = Field(300, ge=1)
    dim: Integer = Field(1000, ge=2)
    sigma_c: Real = Field(1.0, ge=0, description="cluster means of the logit gradients")
    sigma_e: Real = Field(1.0, gt=0, description="what scatters around them")
    sigma_z: Real = Field(1.0, ge=0, description="logits")
    labels: Literal["sampled", "uniform", "argmax"] = "sampled"
    draws: Integer = Field(20, ge=2)
    seed: Integer = Field(0, ge=0, le=MAX_SEED)
    growth: tuple[Annotated[Real, Field(ge=0, le=4)], ...] = Field(
        (0.0, 0.5, 1.0), description="exponents α of σ_c² ∝ σ_z^α along training"
    )
    largest_sigma_z: Real = Field(6.0, gt=0, description="end of the sweep over σ_z")
    points: Integer = Field(12, ge=2, description="of the sweep, for each α")
    planes: tuple[Annotated[Integer, Field(ge=2)], ...] = (20, 60, 180)
    sets: tuple[TheorySet, ...] = Field((), description="further parameter sets, each with as many draws")


class HyperplaneConfig(_Section):
    """Trainings confined to random planes θ₀ + A w; what is not here is as the train section says."""

    kinds: tuple[Literal["auto", "dense", "sparse", "hashed", "fastfood", "cosine", "hadamard"], ...] = Field(
        ("auto",), min_length=1, description="constructions of A that are compared"
    )
    burn_in: tuple[Annotated[Integer, Field(ge=0)], ...] = Field(
        (0,), min_length=1, description="full-space steps before the plane is laid through the weights; compared"
    )
    dims: tuple[Integer, ...] | None = Field(
        None, min_length=1, description="coarse grid of dimensions; None: 10, 30, 100, … up to 10,000 and P"
    )
    rounds: Integer = Field(3, ge=0, description="refinements around the crossing, of two dimensions each")
    seeds: Integer = Field(5, ge=2, description="trainings of each dimension, and of the full space")
    seed: Integer = Field(0, ge=0, le=2**31)
    optimizer: Literal["sgd", "adam"] = Field("adam", description="of trainings in planes; train.optimizer: full space")
    learning_rate: Real = Field(0.03, gt=0, description="of trainings in planes, per coordinate of w")
    steps: Integer | None = Field(None, ge=1, description="of trainings in planes; None: train.steps")
    target_accuracy: Real | None = Field(None, gt=0, le=1, description="absolute target; None: own baseline alone")
    target_loss: Real | None = Field(None, gt=0, description="success is loss ≤ this; None: accuracy ≥ the threshold")
    stop_at_target: bool = Field(False, description="a training ends at target_accuracy: faster, but means saturate")
    evaluate_every: Integer = Field(100, ge=1)
    hold_out: Real = Field(0.2, gt=0, lt=1, description="share of samples kept for testing, without a test split")
    shared_plane: bool = Field(
        False, description="one plane for all seeds of a dimension: faster, another success rate"
    )
    pack: Integer = Field(5, ge=1, description="trainings computed together; the unit of retry")
    memory_mb: Integer = Field(1024, ge=1, description="of one plane; larger ones are made anew in every step")
    budget_trainings: Integer | None = Field(None, ge=1)
    budget_minutes: Real | None = Field(None, gt=0)


class GoldilocksConfig(_Section):
    """Curvature at random points against their radius, and trainings in random planes that begin there."""

    radii: tuple[Annotated[Real, Field(gt=0)], ...] = Field(
        (0.1, 0.2, 0.4, 0.7, 1.0, 1.5, 2.5, 5.0, 10.0),
        min_length=1,
        description="|θ| of the points, as multiples of the radius of Glorot's initialisation",
    )
    temperatures: tuple[Annotated[Real, Field(gt=0)], ...] = Field(
        (1.0,), min_length=1, description="T of p = softmax(z/T)"
    )
    points: Integer = Field(3, ge=2, description="random points of each radius and temperature")
    planes: tuple[Annotated[Integer, Field(ge=2)], ...] = Field(
        (5, 15, 50), min_length=1, description="dimensions in which all curvature is measured; nested, the most costs"
    )
    outliers: Integer | None = Field(
        None, ge=0, description="eigenvalues of each end taken out of the bulk; None: as many as classes"
    )
    density_steps: Integer = Field(
        40, ge=0, description="Lanczos steps of a point's density of eigenvalues; 0: no density"
    )
    norm_probes: Integer = Field(8, ge=2, description="products for the norms of the Gauss-Newton and residual terms")
    dims: tuple[Annotated[Integer, Field(ge=1)], ...] = Field(
        (5, 20, 100), description="dimensions of the planes that are trained in; none: no trainings"
    )
    modes: tuple[Literal["sphere", "free"], ...] = Field(
        ("sphere", "free"), min_length=1, description="trainings kept at their radius, or left alone"
    )
    trainings: Integer = Field(3, ge=2, description="of each radius, dimension and mode")
    learning_rate: Real = Field(
        0.03, gt=0, description="of trainings (Adam), per coordinate, at Glorot's radius; it grows with the radius"
    )
    hold_out: Real = Field(0.2, gt=0, lt=1, description="share of samples kept for testing, without a test split")
    seed: Integer = Field(0, ge=0, le=2**31)
    point: str | None = Field(None, min_length=1, description="weights of a point whose place is asked for")


class RuntimeConfig(_Section):
    """Where the products run."""

    workers: Integer = Field(2, ge=0, description="Ray actors; 0 runs in the driver, without Ray")
    transport: Literal["store", "collective"] = Field(
        "store", description="store: vectors in the driver; collective: sharded over the workers"
    )
    cpus_per_worker: Real = Field(1, gt=0)
    gpus_per_worker: Real = Field(0, ge=0)
    threads: Integer | None = Field(None, ge=1, description="threads per worker; None: the CPUs a worker has")
    micro_batch: Integer | None = Field(None, ge=1, description="None: a fixed rule by device type")
    product: Literal["kept", "double_backward", "forward_over_reverse"] | None = Field(
        None,
        description="kept: linearisations stay in memory as far as it goes, the same bits as double_backward;"
        " None: kept, or what tune picks",
    )
    memory: Literal["auto"] | Integer = Field(
        "auto", description="bytes of kept linearisations a worker; auto: until half of what was free is gone"
    )
    channels_last: bool | None = Field(
        None, description="images in channels-last order; other bits; None: true, or what tune picks"
    )
    tune: bool = Field(
        False,
        description="pick product and channels_last, where they are not set, by a timed probe before the run; the pick"
        " is recorded in its configuration",
    )

    @field_validator("memory", mode="before")
    @classmethod
    def _bytes_or_auto(cls, value: Any) -> Any:
        number = isinstance(value, (int, float)) and not isinstance(value, bool) and value >= 1 and value % 1 == 0
        if value != "auto" and not number:
            raise ValueError("it must be a positive number of bytes or 'auto'")
        return value


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
    hierarchy: HierarchyConfig = HierarchyConfig()
    emergence: EmergenceConfig = EmergenceConfig()
    theory: TheoryConfig = TheoryConfig()
    hyperplane: HyperplaneConfig = HyperplaneConfig()
    goldilocks: GoldilocksConfig = GoldilocksConfig()
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
        tree = read_mapping(Path(file))
    for assignment in assignments:
        _assign(tree, assignment)
    return validate_config(tree)


def validate_config(tree: dict[str, Any]) -> RunConfig:
    """Turn a nested mapping into a RunConfig, or say in one sentence which key is wrong."""
    try:
        return RunConfig.model_validate(tree)
    except ValidationError as error:
        raise InputError(_sentence(error)) from None


def _assign(tree: dict[str, Any], assignment: str) -> None:
    key, equals, text = assignment.partition("=")
    parts = key.strip().split(".")
    if not equals or not all(parts):
        raise InputError(f"--set {brief(assignment)} is not of the form section.key=value, for example spectrum.k=20")
    try:
        value = parse(text)
    except yaml.YAMLError as error:
        raise InputError(
            f"--set {brief(assignment)}: the value is not valid YAML: {problem(error)}; quote it"
        ) from None
    for part in parts[:-1]:
        branch = tree.setdefault(part, {})
        if not isinstance(branch, dict):
            raise InputError(f"--set {brief(assignment)}: {part!r} is not a section with keys; set it as a whole")
        tree = branch
    tree[parts[-1]] = value


def _sentence(error: ValidationError) -> str:
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"]) or "the configuration"
    if first["type"] == "extra_forbidden":
        known = _known_keys(first["loc"])
        return f"unknown configuration key {key!r}; known here: {', '.join(known)}"
    if first["type"] in ("model_type", "model_attributes_type"):
        known = _known_keys((*first["loc"], ""))
        return f"configuration key {key!r} is a section; set one of its keys: {', '.join(known)}"
    message = _MESSAGES.get(
        first["type"], first["msg"].removeprefix("Value error, ").replace("Input should", "it must")
    )
    return f"configuration key {key!r} is {brief(first['input'])}, but {message}; correct it"


_MESSAGES = {
    "tuple_type": "it must be a list, for example [a, b]",
    "dict_type": "it must be a mapping, for example {key: value}",
    "string_type": "it must be text: put it in quotes",
    "int_type": "it must be a whole number",
    "int_parsing": "it must be a whole number",
    "int_from_float": "it must be a whole number",
    "float_type": "it must be a number",
    "float_parsing": "it must be a number",
    "finite_number": "it must be a finite number",
    "string_too_short": "it must not be empty",
    "invalid_key": "names of keys must be text: put it in quotes",
    "invalid-json-value": "it must be a number, text, true, false, a list or a mapping: put it in quotes",
}


def _known_keys(location: tuple[int | str, ...]) -> list[str]:
    model: type[BaseModel] = RunConfig
    for part in location[:-1]:
        if isinstance(part, int):  # an element of a list, whose model was taken with the list
            continue
        annotation = model.model_fields[part].annotation
        models = [a for a in (annotation, *get_args(annotation)) if isinstance(a, type) and issubclass(a, BaseModel)]
        model = models[0]
    return sorted(model.model_fields)
