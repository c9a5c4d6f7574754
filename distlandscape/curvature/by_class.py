"""The samples of a micro-batch, class by class: sums over a class are sums over consecutive rows then."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from distlandscape.curvature.logit_gradients import gradient_chunks
from distlandscape.objective import Objective


def sorted_by_class(y: Tensor, classes: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Indices of the samples whose class is among ``classes``, in the order of these, and their places in it."""
    place, sample = (y == torch.tensor(classes, device=y.device)[:, None]).nonzero(as_tuple=True)
    return sample, place


def class_chunks(
    objective: Objective, x: Tensor, place: Tensor, cotangents_nKC: Tensor
) -> Iterator[tuple[int, slice, Tensor]]:
    """(place, samples, rows (m, K, P)) of runs of samples of one class; x, place and cotangents sorted by class."""
    for part, rows in gradient_chunks(objective, x, cotangents_nKC):
        start = 0
        for one, count in enumerate(place[part].bincount().tolist()):
            if count:
                yield one, slice(part.start + start, part.start + start + count), rows[start : start + count]
                start += count
