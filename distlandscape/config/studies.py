"""The sections of single studies: what each measures, and how exactly."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from distlandscape.config.values import MAX_SEED, Integer, Layers, Real, Section


class SpectrumConfig(Section):
    """What the spectrum study measures, and how exactly."""

    operator: Literal["hessian", "gauss_newton", "residual", "fisher"] = Field(
        "hessian", description="what is measured; residual: the Hessian less its Gauss-Newton term"
    )
    fisher_labels: Literal["model", "data", "sampled"] = Field(
        "model", description="labels of operator=fisher: the mean over the model's own, those of the data, or one drawn"
    )
    k: Integer = Field(10, ge=1, description="how many of the largest eigenpairs")
    lowest: Integer = Field(0, ge=0, description="how many of the smallest eigenpairs")
    tol: Real = Field(1e-3, gt=0, lt=1, description="residual relative to each |eigenvalue|")
    max_steps: Integer | None = Field(
        None, ge=2, description="most Lanczos steps of a search; null: 200 + 20 for each pair"
    )
    basis_size: Integer | None = Field(
        None, ge=4, description="most Lanczos vectors kept, then a thick restart; null: all, which needs fewest passes"
    )
    block: Integer = Field(
        1, ge=1, description="vectors a pass multiplies in the search for eigenpairs: fewer passes, more products"
    )
    seed: Integer = Field(0, ge=0, le=MAX_SEED, description="of start vectors and probes")
    warm_start: bool = Field(
        False,
        description="begin from the eigenvectors of the checkpoint before, which saves little",
    )
    density_draws: Integer = Field(2, ge=1, description="random vectors the density is averaged over")
    density_target: Real | None = Field(
        None,
        gt=0,
        lt=1,
        description="add draws until their error, over the range of the eigenvalues, is at most this; null: add none",
    )
    density_max_draws: Integer = Field(32, ge=3, description="most draws of density_target")
    density_steps: Integer = Field(80, ge=2, description="Lanczos steps of a draw, a pass each")
    trace_probes: Integer = Field(16, ge=2, description="random vectors for trace and Frobenius norm, one pass for all")
    layers: Layers | None = Field(
        None, description="all, or patterns of layer names whose diagonal blocks are measured too; null: none"
    )
    layer_density_steps: Integer | None = Field(
        None, ge=2, description="Lanczos steps of the density of a layer's block; null: none"
    )


class HierarchyConfig(Section):
    """What the hierarchy study measures, and how exactly."""

    k: Integer | None = Field(
        None, ge=1, description="how many of the largest eigenpairs; null: two more than there are classes"
    )
    tol: Real = Field(1e-3, gt=0, lt=1, description="residual relative to each |eigenvalue|")
    max_steps: Integer | None = Field(
        None, ge=2, description="most Lanczos steps of a search; null: 200 + 20 for each pair"
    )
    seed: Integer = Field(0, ge=0, le=MAX_SEED, description="of start vectors and probes")
    trace_probes: Integer = Field(
        32, ge=2, description="random vectors for the traces of G2 and G3, where these are too large to be exact"
    )
    kernel: bool = Field(
        False, description="measure the kernel of all samples too, of at most 10,000 rows (samples × classes)"
    )


class EmergenceConfig(Section):
    """What the emergence study measures at every checkpoint, and how exactly."""

    checkpoints: str | None = Field(None, description="folder of weights files to measure; null: train")
    tol: Real = Field(1e-3, gt=0, lt=1, description="residual relative to each |eigenvalue|")
    max_steps: Integer | None = Field(
        None, ge=2, description="most Lanczos steps of a search; null: 200 + 20 for each pair"
    )
    seed: Integer = Field(0, ge=0, le=MAX_SEED, description="of start vectors, probes, the plane and the draws")
    trace_probes: Integer = Field(16, ge=2, description="random vectors for trace and Frobenius norm, one pass for all")
    plane: Integer = Field(20, ge=2, description="dimension of the random plane whose curvature is measured")
    density_steps: Integer = Field(60, ge=2, description="Lanczos steps of the last checkpoint's density")
    projected_steps: Integer = Field(
        0,
        ge=0,
        description="steps of descent from the middle checkpoint: full, only in, only out of the top subspace; 0: none",
    )
    draws: Integer = Field(200, ge=2, description="draws of the random model, for the scatter of its predictions")


class TheorySet(Section):
    """Parameters of the random model that differ from the section's own."""

    classes: Integer | None = Field(None, ge=2, description="null: theory.classes")
    examples: Integer | None = Field(None, ge=1, description="null: theory.examples")
    dim: Integer | None = Field(None, ge=2, description="null: theory.dim")
    sigma_c: Real | None = Field(None, ge=0, description="null: theory.sigma_c")
    sigma_e: Real | None = Field(None, gt=0, description="null: theory.sigma_e")
    sigma_z: Real | None = Field(None, ge=0, description="null: theory.sigma_z")


class TheoryConfig(Section):
    """The random model: its parameters, and what is swept."""

    classes: Integer = Field(10, ge=2, description="C, classes and logits")
    examples: Integer = Field(300, ge=1, description="N, examples")
    dim: Integer = Field(1000, ge=2, description="D, parameters")
    sigma_c: Real = Field(
        1.0, ge=0, description="standard deviation of an entry of the cluster means of the logit gradients"
    )
    sigma_e: Real = Field(1.0, gt=0, description="standard deviation of an entry of what scatters around them")
    sigma_z: Real = Field(1.0, ge=0, description="standard deviation of the logits")
    labels: Literal["sampled", "uniform", "argmax"] = Field(
        "sampled", description="drawn from the softmax, drawn evenly, or the largest logit"
    )
    draws: Integer = Field(20, ge=2, description="draws of the model, for mean and standard error")
    seed: Integer = Field(0, ge=0, le=MAX_SEED, description="of the draws")
    growth: tuple[Annotated[Real, Field(ge=0, le=4)], ...] = Field(
        (0.0, 0.5, 1.0), description="exponents α of σ_c² ∝ σ_z^α along training"
    )
    largest_sigma_z: Real = Field(6.0, gt=0, description="end of the sweep over σ_z")
    points: Integer = Field(12, ge=2, description="values of σ_z in the sweep, for each α")
    planes: tuple[Annotated[Integer, Field(ge=2)], ...] = Field(
        (20, 60, 180), description="dimensions of the random planes whose spectra are shown"
    )
    sets: tuple[TheorySet, ...] = Field((), description="further parameter sets, each with as many draws")


class HyperplaneConfig(Section):
    """Trainings confined to random planes θ₀ + A w; what is not here is as the train section says."""

    kinds: tuple[
        Literal["auto", "dense", "sparse", "hashed", "fastfood", "cosine", "hadamard", "trajectory", "hessian"], ...
    ] = Field(
        ("auto",),
        min_length=1,
        description="constructions of A that are compared; trajectory and hessian: not random, but of the network",
    )
    burn_in: tuple[Annotated[Integer, Field(ge=0)], ...] = Field(
        (0,), min_length=1, description="full-space steps before the plane is laid through the weights; compared"
    )
    dims: tuple[Integer, ...] | None = Field(
        None, min_length=1, description="coarse grid of dimensions; null: 10, 30, 100, … up to 10,000 and P"
    )
    rounds: Integer = Field(3, ge=0, description="refinements around the crossing, of two dimensions each")
    seeds: Integer = Field(5, ge=2, description="trainings of each dimension, and of the full space")
    seed: Integer = Field(
        0, ge=0, le=2**31, description="of the planes and of the first training; the others count on from it"
    )
    optimizer: Literal["sgd", "adam"] = Field("adam", description="of trainings in planes; train.optimizer: full space")
    learning_rate: Real = Field(0.03, gt=0, description="of trainings in planes, per coordinate of w")
    steps: Integer | None = Field(None, ge=1, description="steps of trainings in planes; null: train.steps")
    target_accuracy: Real | None = Field(
        None, gt=0, le=1, description="absolute accuracy to reach too; null: only 90 % of the full space's"
    )
    target_loss: Real | None = Field(
        None, gt=0, description="success is a loss of at most this; null: an accuracy of at least the threshold"
    )
    stop_at_target: bool = Field(False, description="a training ends at target_accuracy: faster, but means saturate")
    evaluate_on: Literal["test", "train"] = Field(
        "test", description="accuracy and loss on held-out samples, or on those trained on: how well these are learnt"
    )
    evaluate_every: Integer = Field(100, ge=1, description="steps from one evaluation to the next")
    hold_out: Real = Field(
        0.2, gt=0, lt=1, description="share of the samples kept for testing where the source has no test split"
    )
    shared_plane: bool = Field(
        False, description="one plane for all seeds of a dimension: faster, another success rate"
    )
    pack: Integer = Field(5, ge=1, description="trainings computed together; the unit of retry")
    memory_mb: Integer = Field(1024, ge=1, description="MB of one plane; larger ones are made anew in every step")
    budget_trainings: Integer | None = Field(None, ge=1, description="most trainings; null: no limit")
    budget_minutes: Real | None = Field(
        None, gt=0, description="minutes after which no training begins; null: no limit"
    )


class GoldilocksConfig(Section):
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
        None, ge=0, description="eigenvalues of each end taken out of the bulk; null: as many as classes"
    )
    density_steps: Integer = Field(
        40, ge=0, description="Lanczos steps of a point's density of eigenvalues; 0: no density"
    )
    norm_probes: Integer = Field(8, ge=2, description="products for the norms of the Gauss-Newton and residual terms")
    dims: tuple[Annotated[Integer, Field(ge=1)], ...] = Field(
        (5, 20, 100), description="dimensions of the planes that are trained in; []: no trainings"
    )
    modes: tuple[Literal["sphere", "free"], ...] = Field(
        ("sphere", "free"), min_length=1, description="trainings kept at their radius, or left alone"
    )
    trainings: Integer = Field(3, ge=2, description="trainings of each radius, dimension and mode")
    learning_rate: Real = Field(
        0.03, gt=0, description="of trainings (Adam), per coordinate, at Glorot's radius; it grows with the radius"
    )
    hold_out: Real = Field(
        0.2, gt=0, lt=1, description="share of the samples kept for testing where the source has no test split"
    )
    seed: Integer = Field(0, ge=0, le=2**31, description="of the points, planes and trainings")
    point: str | None = Field(
        None, min_length=1, description="weights file of a point whose place is asked for; null: none"
    )
