"""Sums of unit vectors along logit gradients: from them cosines over all pairs follow, without forming one.

Shapes: n samples of a micro-batch, Y classes of a call, C logits, P parameters.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from distlandscape.curvature.by_class import class_chunks, sorted_by_class
from distlandscape.objective import Batch, Objective


def clustering_sums(objective: Objective, batch: Batch, classes: Sequence[int]) -> tuple[Tensor, Tensor, Tensor]:
    """Sums over the samples of the given classes.

    A gradient of length 0 has no direction and is left out. Cost: one forward and C backward passes of these samples.

    Returns:
        Unit logit gradients u_k by class and logit (Y, C, P); number of non-zero gradients, their lengths and squared
        lengths (Y, C, 3); of pairs of logits k ≠ l of one sample, the cosines and how many there are (2,).
    """
    C, P = objective.outputs, objective.parameters
    order, place = sorted_by_class(batch.y, classes)
    x = batch.x[order]
    units_YCP = x.new_zeros(len(classes), C, P)
    lengths_YC3 = torch.zeros(len(classes), C, 3, dtype=torch.float64, device=x.device)
    same = torch.zeros(2, dtype=torch.float64, device=x.device)
    if not len(order):
        return units_YCP, lengths_YC3, same
    every_logit = torch.eye(C, dtype=objective.dtype, device=x.device).expand(len(x), C, C)
    for one, _, rows_nCP in class_chunks(objective, x, place, every_logit):
        lengths_nC = torch.linalg.vector_norm(rows_nCP, dim=2).double()
        there_nC = (lengths_nC > 0).double()
        inverse_nC = (there_nC / lengths_nC.clamp(min=torch.finfo(torch.float64).tiny)).to(rows_nCP)
        units_YCP[one] += torch.einsum("nk,nkp->kp", inverse_nC, rows_nCP)
        lengths_YC3[one] += torch.stack([there_nC, lengths_nC, lengths_nC**2], 2).sum(0)
        together_nP = torch.einsum("nk,nkp->np", inverse_nC, rows_nCP)
        logits_n = there_nC.sum(1)
        same[0] += (together_nP.double().square().sum(1) - logits_n).sum()
        same[1] += (logits_n * (logits_n - 1)).sum()
    return units_YCP, lengths_YC3, same


def freezing_sums(objective: Objective, batch: Batch) -> tuple[Tensor]:
    """Sums over the micro-batch, (5,): loss, correct answers, Var_k z_k, Σ_k p_k², entropy of p in nats.

    The variance over the C logits of a sample (divisor C − 1) does not change when a constant is added to them, as p
    does not. Cost: one forward pass.
    """
    with torch.no_grad():
        z_nC = objective.logits(objective.leaves(), batch.x)
        loss_n = objective.loss(z_nC, batch.y)
        z_nC = z_nC.double()
        p_nC, log_p_nC = z_nC.softmax(1), z_nC.log_softmax(1)
        correct_n = z_nC.argmax(1) == batch.y
        entropy_n = -(p_nC * log_p_nC).sum(1)
        columns = [loss_n, correct_n, z_nC.var(1), p_nC.square().sum(1), entropy_n]
        return (torch.stack([column.double().sum() for column in columns]),)


def logit_rows(objective: Objective, batch: Batch, first: int, count: int) -> tuple[Tensor]:
    """Logits of samples first … first + count − 1, (count, C); zero rows for those of other micro-batches.

    Cost: one forward pass of the samples asked for.
    """
    rows = torch.zeros(count, objective.outputs, dtype=torch.float64, device=batch.x.device)
    low, high = max(first, batch.first), min(first + count, batch.first + len(batch.x))
    if low < high:
        with torch.no_grad():
            logits = objective.logits(objective.leaves(), batch.x[low - batch.first : high - batch.first])
        rows[low - first : high - first] = logits
    return (rows,)
