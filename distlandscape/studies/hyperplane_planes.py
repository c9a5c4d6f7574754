"""The planes of a pack: random ones by their seeds, or spanned by a trajectory or by eigenvectors of a Hessian."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import torch

from distlandscape.config import RunConfig
from distlandscape.config.studies import HyperplaneConfig
from distlandscape.data import BlockStore
from distlandscape.errors import InputError
from distlandscape.objective import Objective
from distlandscape.runtime import Hessian, LocalRunner
from distlandscape.runtime.along import moved
from distlandscape.spectral import top_eigenpairs
from distlandscape.spectral.journal import SILENT
from distlandscape.training.projections import Given, Projection, choose_kind, make_projection, trajectory_directions
from distlandscape.training.rows import AllRows
from distlandscape.training.subspace import Recipe, weights_along

TRAJECTORY, HESSIAN = "trajectory", "hessian"  # kinds whose planes come from the network itself
GIVEN = {TRAJECTORY, HESSIAN}
TOL = 0.01  # of the eigenpairs, whose span is what counts


def plane_memory(h: HyperplaneConfig) -> int:
    """Bytes that a plane may take: the members of a pack, of whichever size, are in memory together."""
    return h.memory_mb * 2**20 // (1 if h.shared_plane else h.pack)


def chosen_kind(h: HyperplaneConfig, kind: str, parameters: int, dim: int) -> tuple[str, str]:
    """The construction, and why it is taken: of "auto" in a sentence, else empty."""
    return choose_kind(parameters, dim, plane_memory(h)) if kind == "auto" else (kind, "")


def random_planes(h: HyperplaneConfig, kind: str, parameters: int, dim: int, seeds: Sequence[int]) -> list[Projection]:
    """A plane a seed, or one for all; planes of different dimensions have nothing in common."""

    def plane(member: str) -> Projection:
        name = f"{h.seed if h.shared_plane else ''}/{member}/{dim}"
        seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:7])
        return make_projection(kind, parameters, dim, seed, plane_memory(h))

    if h.shared_plane:
        return [plane("shared")] * len(seeds)
    return [plane(str(seed)) for seed in seeds]


def trajectory_steps(config: RunConfig, burn_in: int, parameters: int) -> list[int]:
    """Steps of the training in full space whose weights span planes, from the burn-in on, as many as memory holds."""
    assert config.train.steps is not None, "the runner resolves train.steps"
    left = config.train.steps - burn_in
    moves = min(left, plane_memory(config.hyperplane) // (8 * parameters))  # singular vectors take float64
    return [burn_in + round(left * place / max(1, moves)) for place in range(moves + 1)]


def trajectory_planes(
    config: RunConfig,
    objectives: Sequence[Objective],
    seeds: Sequence[int],
    rows: AllRows,
    full: Recipe,
    burn_in: int,
    dim: int,
    device: torch.device,
) -> list[Projection]:
    """Top singular directions of each member's own training in full space ("lottery" planes).

    Cost: that training, and the singular vectors of K points, K²·P.
    """
    steps = trajectory_steps(config, burn_in, objectives[0].parameters)
    points_BKP = weights_along(objectives, seeds, rows, full, steps, device=device)
    return [Given(trajectory_directions(points_KP, dim)) for points_KP in points_BKP]


def hessian_planes(
    config: RunConfig,
    objectives: Sequence[Objective],
    seeds: Sequence[int],
    rows: AllRows,
    full: Recipe,
    burn_in: int,
    dim: int,
    device: torch.device,
) -> list[Projection]:
    """Eigenvectors of the largest eigenvalues of each member's Hessian at the start of its plane.

    The Hessian is over the samples that are trained on. Cost: two or three passes over these a dimension.
    """
    inputs, targets = objectives[0].tensors(rows.x, rows.y, torch.device("cpu"))
    store = BlockStore.from_arrays(inputs.numpy(), targets.numpy())
    starts_BKP = weights_along(objectives, seeds, rows, full, [burn_in], device=device)
    runner = LocalRunner(config.runtime.threads, config.runtime.micro_batch)
    planes: list[Projection] = []
    for objective, seed, (start_P,) in zip(objectives, seeds, starts_BKP, strict=True):
        there = moved(objective.with_data(store), start_P.double() - objective.theta.double())
        pairs = top_eigenpairs(Hessian(there, runner), dim, TOL, seed=seed, journal=SILENT)
        planes.append(Given(torch.from_numpy(pairs.eigenvectors.numpy())))
    return planes


def check_given(config: RunConfig, objective: Objective) -> None:
    """Raise InputError for planes that the network cannot give.

    Raises:
        InputError: more dimensions than a trajectory has moves, eigenvectors of no stated number, one plane for all
            seeds, or statistics of BatchNorm that a burn-in changes.
    """
    h, P = config.hyperplane, objective.parameters
    for kind in GIVEN.intersection(h.kinds):
        if h.shared_plane:
            raise InputError(f"kind {kind} gives every seed a plane of its own; leave hyperplane.shared_plane out")
    if HESSIAN in h.kinds:
        Hessian(objective)
        if h.dims is None:
            raise InputError("kind hessian takes passes over the data for each dimension; give small hyperplane.dims")
        if any(h.burn_in) and any(name.endswith("running_mean") for name, _ in objective.model.named_buffers()):
            raise InputError(
                "kind hessian does not follow the statistics of BatchNorm through a burn-in; set hyperplane.burn_in=[0]"
            )
    if TRAJECTORY in h.kinds:
        for burn_in in h.burn_in:
            moves, most = len(trajectory_steps(config, burn_in, P)) - 1, max(h.dims or (1,))
            if most > moves:
                raise InputError(
                    f"the training after step {burn_in} gives a trajectory of {moves} moves, too few for d={most};"
                    " lower hyperplane.dims or burn_in, or raise train.steps or hyperplane.memory_mb"
                )
