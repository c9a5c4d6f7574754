"""Training confined to planes θ = θ₀ + A w, several members at once.

Shapes: B members, P parameters, K points of a trajectory.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from distlandscape.errors import InputError
from distlandscape.objective import Objective
from distlandscape.training.descent import Descent, Point, Recipe, Trained
from distlandscape.training.pack import Pack
from distlandscape.training.projections import Projection
from distlandscape.training.rows import AllRows

__all__ = ["Point", "Recipe", "Trained", "train_pack", "weights_along"]


def train_pack(
    objectives: Sequence[Objective],
    planes: Sequence[Projection] | None,
    seeds: Sequence[int],
    rows: AllRows,
    held_out: AllRows,
    recipe: Recipe,
    *,
    burn_in: Recipe | None = None,
    burn_in_steps: int = 0,
    device: str | torch.device = "cpu",
    tick: Callable[[int], None] = lambda step: None,
) -> list[Trained]:
    """Minimise each objective over its plane through its own weights, members together; the global random state stays.

    A member is a function of its objective, plane, seed and the recipe: a pack gives what single trainings give, to
    rounding, and the same pack gives the same bits (dropout aside, which a pack draws for all members at once). Where
    all members have one plane, the same object, their products with it are one.

    Args:
        objectives: one a member, of one architecture; their weights are θ₀.
        planes: one a member, all of one d; None trains in full space.
        seeds: of each member's order of samples.
        rows: what is trained on; each update draws ``batch_size`` of them.
        held_out: what is evaluated.
        recipe: steps, optimizer, and when to evaluate and stop.
        burn_in: a full-space training whose first ``burn_in_steps`` steps come first, with its schedule; where they end
            is θ₀, and the planes' samples follow its own. It is not evaluated and stops nowhere.
        burn_in_steps: steps taken of it.
        device: where it runs.
        tick: is told the number of each update.

    Raises:
        InputError: members, planes and seeds do not match, or unknown optimizer or schedule.
        TrainingError: the model does not train on such batches.
    """
    if not len(objectives) == len(seeds) or (planes is not None and len(planes) != len(seeds)):
        raise InputError("a pack needs one objective, plane and seed a member; give lists of one length")
    place = torch.device(device)
    with torch.random.fork_rng(devices=[place] if place.type == "cuda" else []):
        torch.manual_seed(seeds[0])
        pack = Pack(objectives, place)
        if burn_in is not None:
            descent = Descent(pack, None, seeds, rows, held_out, burn_in, 0)
            pack.start_BP = descent.only_train(0, burn_in_steps, tick)
        return Descent(pack, planes, seeds, rows, held_out, recipe, burn_in_steps).run(tick)


def weights_along(
    objectives: Sequence[Objective],
    seeds: Sequence[int],
    rows: AllRows,
    recipe: Recipe,
    steps: Sequence[int],
    *,
    device: str | torch.device = "cpu",
) -> Tensor:
    """Weights (B, K, P) after some numbers of steps of trainings in full space, on the CPU; the random state stays.

    They are those that ``train_pack`` comes by, as a training in full space or as a burn-in.

    Args:
        objectives: one a member, of one architecture, at its initial weights.
        seeds: of each member's order of samples.
        rows: what is trained on.
        recipe: of the training; it is not evaluated and stops nowhere.
        steps: K of them, ascending; 0 is the start.
        device: where it runs.
    """
    place, kept = torch.device(device), []
    with torch.random.fork_rng(devices=[place] if place.type == "cuda" else []):
        torch.manual_seed(seeds[0])
        descent = Descent(Pack(objectives, place), None, seeds, rows, rows, recipe, 0)
        done = 0
        for step in steps:
            kept.append(descent.only_train(done, step).cpu())
            done = step
    return torch.stack(kept, dim=1)
