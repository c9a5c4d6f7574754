"""Sums for the class structure of the Gauss-Newton term (Papyan 2020, arXiv:2008.11865).

δ_{i,c'} = √p_{c'} J_iᵀ (e_{c'} − p_i) of sample i and logit c'; their outer products, summed, make up G.
Shapes: n samples of a micro-batch, C classes, Y classes of a call, K vectors, P parameters.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from distlandscape.curvature.by_class import class_chunks, sorted_by_class
from distlandscape.curvature.jacobian import Linearisation
from distlandscape.objective import Batch, Objective


def level_sums(objective: Objective, batch: Batch, classes: Sequence[int]) -> tuple[Tensor]:
    """Sums of δ_{i,c} and of Σ_{c'≠c} δ_{i,c'} over the samples of each given class c; (Y, 2, P).

    Cost: two forward passes and two backward passes of these samples.
    """
    sums_Y2P = batch.x.new_zeros(len(classes), 2, objective.parameters)
    order, place = sorted_by_class(batch.y, classes)
    if len(order):
        x = batch.x[order]
        own_nC = torch.nn.functional.one_hot(batch.y[order], objective.outputs).to(x.dtype)
        p_nC = _probabilities(objective, x)
        cotangents_n2C = torch.stack([_pulled(p_nC, own_nC), _pulled(p_nC, 1 - own_nC)], 1)
        for one, _, rows_n2P in class_chunks(objective, x, place, cotangents_n2C):
            sums_Y2P[one] += rows_n2P.sum(0)
    return (sums_Y2P,)


def delta_sums(objective: Objective, batch: Batch, classes: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Sums of δ_{i,c'} over the samples of each given class (Y, C, P), and of all their squared lengths (1,).

    Cost: two forward passes and C backward passes of these samples.
    """
    C = objective.outputs
    sums_YCP = batch.x.new_zeros(len(classes), C, objective.parameters)
    squares = torch.zeros(1, dtype=torch.float64, device=batch.x.device)
    order, place = sorted_by_class(batch.y, classes)
    if len(order):
        x = batch.x[order]
        p_nC = _probabilities(objective, x)
        cotangents_nCC = p_nC.sqrt()[:, :, None] * (torch.eye(C).to(p_nC) - p_nC[:, None, :])
        for one, _, rows_nCP in class_chunks(objective, x, place, cotangents_nCC):
            sums_YCP[one] += rows_nCP.sum(0)
            squares += torch.linalg.vector_norm(rows_nCP, dim=2).double().square().sum()
    return sums_YCP, squares


def class_forms(objective: Objective, batch: Batch, V_KP: Tensor) -> tuple[Tensor, Tensor]:
    """Σ δ_{i,c'}·v over the samples of class c, as row c and column c', and Σ (δ_{i,c'}·v)² over all; (K, C, C), (K,).

    Cost: forward and one backward once, and a backward through that a vector.
    """
    C = objective.outputs
    tables_KCC = torch.zeros(len(V_KP), C, C, dtype=torch.float64, device=V_KP.device)
    squares_K = torch.zeros(len(V_KP), dtype=torch.float64, device=V_KP.device)
    linear = Linearisation(objective, batch.x)
    if linear.depends:
        p_nC = linear.logits.detach().double().softmax(1)
        for table_CC, square, v_P in zip(tables_KCC, squares_K, V_KP, strict=True):
            jv_nC = linear.push(v_P).double()
            along_nC = p_nC.sqrt() * (jv_nC - (p_nC * jv_nC).sum(1, keepdim=True))
            table_CC.index_add_(0, batch.y, along_nC)
            square += along_nC.square().sum()
    return tables_KCC, squares_K


def class_pulls(objective: Objective, batch: Batch, weights_KCC: Tensor) -> tuple[Tensor]:
    """Σ_i Σ_{c'} w_{y_i,c'} δ_{i,c'} for each of K tables of weights; (K, P).

    Cost: one forward and one backward once, and a backward a table.
    """
    linear = Linearisation(objective, batch.x)
    if not linear.depends:
        return (batch.x.new_zeros(len(weights_KCC), objective.parameters),)
    p_nC = linear.logits.detach().double().softmax(1)
    return (linear.pull([_pulled(p_nC, w_CC[batch.y]).to(linear.logits) for w_CC in weights_KCC]),)


def _probabilities(objective: Objective, x: Tensor) -> Tensor:
    with torch.no_grad():
        return objective.logits(objective.leaves(), x).softmax(1)


def _pulled(p_nC: Tensor, weights_nC: Tensor) -> Tensor:
    """The cotangents u with Jᵀu = Σ_{c'} w_{c'} δ_{c'}."""
    root_nC = weights_nC * p_nC.sqrt()
    return root_nC - root_nC.sum(1, keepdim=True) * p_nC
