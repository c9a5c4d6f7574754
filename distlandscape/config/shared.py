"""The sections that serve every study: data, model, objective, training, where it runs, and who follows it."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, JsonValue, field_validator

from distlandscape.config.values import MAX_SEED, Integer, Real, Section


class DataConfig(Section):
    """Which samples the loss is summed over, and how they are cut into blocks."""

    source: str = Field(
        "digits",
        description="digits, fashion_mnist, idx, cifar10, cifar100, npz, image_folder, parquet, torch (your own) or"
        " store (imported)",
    )
    path: str | None = Field(
        None, description="file or folder of the source, package.module:factory of torch; null: the source needs none"
    )
    split: Literal["train", "test"] = Field("train", description="what is measured; training always uses train")
    samples: Integer | None = Field(
        None, ge=1, description="samples kept, the first after a permutation; null: all of the split"
    )
    classes: tuple[Integer, ...] | None = Field(
        None, description="labels kept, numbered anew from 0 in this order; null: all"
    )
    scaling: Literal["none", "unit", "standard"] | None = Field(
        None,
        description="unit: bytes / 255; standard: per channel, by the train split; null: unit for bytes, else none",
    )
    target: str = Field("y", min_length=1, description="column of a Parquet file that holds the targets")
    options: dict[str, JsonValue] = Field(default_factory=dict, description="arguments of the factory of source torch")
    random_labels: bool = Field(False, description="deal the targets out to the samples anew, seeded by data.seed")
    seed: Integer = Field(0, ge=0, le=MAX_SEED, description="of the permutation of the samples")
    blocks: Integer | None = Field(
        None, ge=1, description="blocks the samples are cut into, a power of two; null: by their number, at most 64"
    )


class ModelConfig(Section):
    """Which network, with which weights."""

    name: str = Field("mlp", description="a network of the zoo, or package.module:factory of your own")
    weights: str | None = Field(
        None, description="safetensors file or state dict to begin from; null: initialised from train.seed"
    )
    options: dict[str, JsonValue] = Field(
        default_factory=dict, description="options of the network, or arguments of the factory"
    )


class ObjectiveConfig(Section):
    """The loss, the parameters it is a function of, and the precision."""

    loss: Literal["cross_entropy", "mse"] = Field(
        "cross_entropy",
        description="mean over the samples of −log p of the label, or of the squared error summed over outputs",
    )
    parameters: tuple[str, ...] | None = Field(
        None, description="patterns of names of parameters that count as θ, or layers; null: all but frozen ones"
    )
    norm: Literal["population", "batch"] = Field(
        "population", description="BatchNorm by its running statistics, or by those of one fixed batch"
    )
    norm_samples: Integer = Field(256, ge=2, description="samples in the statistics batch of norm=batch")
    weight_decay: Real = Field(0, ge=0, description="λ of (λ/2)|θ|², a part of the objective")
    label_smoothing: Real = Field(0, ge=0, lt=1, description="share of each label dealt out to all classes alike")
    dtype: Literal["float32", "float64"] = Field(
        "float32", description="precision of parameters and vectors; sums are float64 in either"
    )


class TrainConfig(Section):
    """Seeded training: SGD with momentum or Adam, checkpoints spaced evenly in log(step)."""

    steps: Integer | None = Field(
        None, ge=0, description="mini-batches trained on; null: 500, or 0 where a study is given weights to measure"
    )
    seed: Integer = Field(0, ge=0, le=MAX_SEED, description="of the initial weights and the order of the samples")
    optimizer: Literal["sgd", "adam"] = Field("sgd", description="SGD with momentum, or Adam")
    learning_rate: Real = Field(0.1, gt=0, description="peak of the schedule")
    momentum: Real = Field(0.9, ge=0, lt=1, description="of sgd; adam has 0.9 and 0.999 of its own")
    schedule: Literal["constant", "cosine", "step"] = Field(
        "constant", description="cosine: down to 0 at the end; step: a tenth after 1/2 and after 3/4 of the steps"
    )
    warmup_steps: Integer = Field(0, ge=0, description="steps over which the learning rate rises to its peak")
    batch_size: Integer = Field(128, ge=1, description="samples of a mini-batch")
    checkpoints: Integer | None = Field(
        None,
        ge=1,
        description="weights kept, evenly in log(step), the last among them; null: 1, for train 10, clustering 5,"
        " emergence 9",
    )


class RuntimeConfig(Section):
    """Where the products run."""

    workers: Integer = Field(2, ge=0, description="Ray actors; 0 runs in the driver, without Ray")
    transport: Literal["store", "collective"] = Field(
        "store", description="store: vectors in the driver; collective: sharded over the workers"
    )
    cpus_per_worker: Real = Field(1, gt=0, description="CPUs that Ray sets aside for a worker")
    gpus_per_worker: Real = Field(0, ge=0, le=1, description="GPUs that Ray sets aside for a worker, at most one")
    threads: Integer | None = Field(None, ge=1, description="torch threads of a worker; null: the CPUs it has")
    micro_batch: Integer | None = Field(
        None, ge=1, description="samples a worker computes at once; null: 256 on a CPU, 1,024 on a GPU"
    )
    product: Literal["kept", "double_backward", "forward_over_reverse"] | None = Field(
        None,
        description="kept: linearisations stay in memory as far as it goes, the same bits as double_backward;"
        " null: kept, or what tune picks",
    )
    memory: Literal["auto"] | Integer = Field(
        "auto", description="bytes of kept linearisations a worker; auto: until half of what was free is gone"
    )
    channels_last: bool | None = Field(
        None, description="images in channels-last order; other bits; null: true, or what tune picks"
    )
    tune: bool = Field(
        False,
        description="pick product and channels_last, where not set, by a timed probe before the run; the pick is kept",
    )

    @field_validator("memory", mode="before")
    @classmethod
    def _bytes_or_auto(cls, value: Any) -> Any:
        number = isinstance(value, (int, float)) and not isinstance(value, bool) and value >= 1 and value % 1 == 0
        if value != "auto" and not number:
            raise ValueError("it must be a positive number of bytes or 'auto'")
        return value


class TrackingConfig(Section):
    """The MLflow mirror."""

    uri: str | None = Field(
        None,
        description="tracking server; null: $MLFLOW_TRACKING_URI, else mlflow.db, a sqlite file in the output folder",
    )
    experiment: str = Field("distlandscape", min_length=1, description="name of MLflow's experiment")
