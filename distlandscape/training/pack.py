"""Several networks of one architecture computed together: their weights are rows of one matrix.

Shapes: B members, P parameters, n samples of a mini-batch, C logits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from distlandscape.errors import TrainingError
from distlandscape.objective import Objective
from distlandscape.objective.failures import brief, is_of_the_user, told
from distlandscape.training.rows import AllRows

CHUNK = 512  # samples evaluated at a time


class Scores(NamedTuple):
    """Mean loss, without weight decay, and share of correct answers of each member: (B,) each, float64."""

    loss: Tensor
    accuracy: Tensor


class Pack:
    """The objectives' models at weights of their own, as one function of a matrix (B, P).

    A member's numbers are those it has alone, to rounding: matrix products of the members are batched, never mixed.
    Convolutions run member by member, which is faster on a CPU than the grouped ones a batch of them becomes.
    BatchNorm normalises by the mini-batch in training and keeps the statistics of each member.

    Args:
        objectives: of one architecture and loss, at the members' initial weights.
        device: where weights and batches are.
    """

    def __init__(self, objectives: Sequence[Objective], device: torch.device) -> None:
        self.objective, self.device = objectives[0], device
        models = [objective.trainable_copy().to(device) for objective in objectives]
        self._model = models[0]
        self._together = not any(isinstance(m, nn.modules.conv._ConvNd) for m in self._model.modules())
        chosen = set(self.objective.names)
        rest = [
            {
                **{name: p.detach() for name, p in model.named_parameters() if name not in chosen},
                **dict(model.named_buffers()),
            }
            for model in models
        ]
        self._rest = {name: torch.stack([tensors[name] for tensors in rest]) for name in rest[0]}
        self.start_BP = torch.stack([objective.theta for objective in objectives]).to(device)

    def keep(self, members: list[int]) -> None:
        """Go on with these members alone."""
        self._rest = {name: tensor[members] for name, tensor in self._rest.items()}
        self.start_BP = self.start_BP[members]

    def gradients(self, theta_BP: Tensor, x_Bn: Tensor, y_Bn: Tensor) -> tuple[Tensor, Tensor]:
        """Mean loss (B,) of every member on its mini-batch in train mode, and gradients (B, P); without weight decay.

        Raises:
            TrainingError: the model does not train on such batches.
        """
        self._model.train()
        leaves = [leaf.detach().requires_grad_(True) for leaf in self._split(theta_BP)]
        try:
            losses_B = self._losses(leaves, x_Bn, y_Bn)
        except Exception as error:  # BatchNorm and a batch of one, branches that look at values, or the user's own
            if not is_of_the_user(error):
                raise
            raise TrainingError(
                f"the model does not train on batches of {x_Bn.shape[1]} ({brief(error)}); change train.batch_size, or"
                " the model, and start again"
            ) from error
        with told("the loss of a mini-batch cannot be differentiated", "replace what raises this"):
            parts = torch.autograd.grad(losses_B.sum(), leaves, allow_unused=True, materialize_grads=True)
        gradients_BP = torch.empty_like(theta_BP)
        for piece, part in zip(self._split(gradients_BP), parts, strict=True):
            piece.copy_(part)  # of a linear layer it comes transposed: to reshape it first would copy it twice
        return losses_B.detach(), gradients_BP

    @torch.no_grad()
    def evaluate(self, theta_BP: Tensor, rows: AllRows) -> Scores:
        """Every member on all samples of ``rows``, in eval mode; one pass."""
        self._model.eval()
        leaves = self._split(theta_BP)
        loss_B = torch.zeros(len(theta_BP), dtype=torch.float64, device=self.device)
        right_B = loss_B.clone()
        for start in range(0, len(rows), CHUNK):
            x, y = self.objective.tensors(*rows.take(np.arange(start, min(start + CHUNK, len(rows)))), self.device)
            with told("the model fails on some samples", "it has to be written so that torch.func can call it"):
                logits = self._logits(leaves, x, None)
            for member, z in enumerate(logits):
                loss_B[member] += self.objective.loss(z, y).double().sum()
                if y.ndim == 1 and not y.is_floating_point():
                    right_B[member] += (z.argmax(1) == y).sum()
        return Scores(loss_B.cpu() / len(rows), right_B.cpu() / len(rows))

    def _losses(self, leaves: list[Tensor], x_Bn: Tensor, y_Bn: Tensor) -> Tensor:
        logits = self._logits(leaves, x_Bn, 0)
        return torch.stack([self.objective.loss(z, y).mean() for z, y in zip(logits, y_Bn, strict=True)])

    def _logits(self, leaves: list[Tensor], x: Tensor, dim: int | None) -> Tensor:
        """(B, n, C); ``dim`` is the members' dimension of x, None where all see the same samples."""
        named = dict(zip(self.objective.names, leaves, strict=True))
        if self._together:
            out: Tensor = vmap(self._member, in_dims=(0, 0, dim), randomness="different")(named, self._rest, x)
            return out
        each = []
        for member in range(len(leaves[0])):
            mine, rest = ({name: t[member] for name, t in group.items()} for group in (named, self._rest))
            each.append(self._member(mine, rest, x if dim is None else x[member]))
        return torch.stack(each)

    def _member(self, named: dict[str, Tensor], rest: dict[str, Tensor], x: Tensor) -> Tensor:
        if self.objective.habits.writes:
            x = x.clone()  # the next member is given it, too
        out: Any = functional_call(self._model, {**named, **rest}, (x,))
        logits: Tensor = getattr(out, "logits", out)
        return logits

    def _split(self, theta_BP: Tensor) -> list[Tensor]:
        pieces = torch.split(theta_BP, self.objective.sizes, dim=1)
        return [piece.view(len(piece), *shape) for piece, shape in zip(pieces, self.objective.shapes, strict=True)]
