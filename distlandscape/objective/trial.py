"""A model and a loss tried on some samples: together, again, and each alone.

Shapes: n samples of the data, C logits.
"""

from __future__ import annotations

import contextlib
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from distlandscape.errors import InputError
from distlandscape.objective.failures import brief, is_of_the_user, told

if TYPE_CHECKING:
    from distlandscape.objective.objective import Objective

ROWS = 8  # of the samples, that are compared with themselves alone
REMEDIES = (
    "recurrent layers and attention need batch_first=True for samples (n, …); scale each sample by itself; BatchNorm"
    " needs stored statistics, or norm='batch'"
)


@dataclass(frozen=True)
class Habits:
    """How a model and a loss want to be called, found out on some samples.

    Attributes:
        whole: bytes stay whole numbers, which an embedding looks up.
        channels_last: images may come in channels-last order.
        needs_gradients: the forward pass differentiates, and needs gradients to be on.
        writes: the model writes into its samples, and gets copies.
        loss_writes: the loss writes into logits or targets, and gets copies.
    """

    whole: bool = False
    channels_last: bool = False
    needs_gradients: bool = False
    writes: bool = False
    loss_writes: bool = False


def agreement(dtype: torch.dtype) -> float:
    """Relative difference of two evaluations of one function that rounding may make.

    Half of all digits: most forward passes lose far fewer, and what couples samples moves their outputs by far more
    than what stays below, which would move a spectrum no further than the precision asked for.
    """
    return math.sqrt(torch.finfo(dtype).eps)


class Trial:
    """Some samples, and the model and loss they are tried on."""

    def __init__(self, objective: Objective, count: int, guard: contextlib.AbstractContextManager[object]) -> None:
        places = np.linspace(0, objective.samples - 1, count).astype(np.int64)
        self._x, self._y = objective.data.take(places)
        self.objective, self._n, self._guard = objective, count, guard
        self._device = next(objective.model.parameters()).device
        self._leaves = objective.leaves()
        self._some = torch.linspace(0, count - 1, min(ROWS, count)).long()

    def accepted(self) -> tuple[Habits, Tensor]:
        """The first way of calling the model that it takes, and the logits (n, C).

        Raises:
            InputError: there is none, what comes back is no logits, or the model changed.
        """
        ways = [Habits(), Habits(needs_gradients=True)]
        if self._x.dtype == np.uint8:
            ways.append(Habits(whole=True))
        names, failures = [name for name, _ in self.objective.model.named_parameters()], list[Exception]()
        for way in ways:
            given = self._inputs(way)
            version = given._version
            try:
                out = self._call(way, given)
            except Exception as error:  # whatever the user's code raises
                if not is_of_the_user(error):
                    raise
                failures.append(error)
                continue
            self._require_logits(out)
            self._require_weights(names)
            return replace(way, writes=given._version != version), out
        hint = " and type (whole numbers stay so; convert them to float32)"
        raise InputError(
            f"the model does not accept samples of shape {self._x.shape[1:]} in {_short(self.objective.dtype)}"
            f" ({type(failures[0]).__name__}: {brief(failures[0])}); give data that fit it in shape"
            f"{'' if self._inputs(ways[0]).is_floating_point() else hint}"
        ) from failures[0]

    def losses(self, logits: Tensor) -> tuple[Tensor, bool]:
        """Losses (n,) of all rows together, and whether the loss writes into what it is given.

        Raises:
            InputError: the loss does not take logits and targets, cannot be differentiated, or does not give one finite
                value a sample.
        """
        values, writes = self._losses(logits)
        if not isinstance(values, Tensor) or values.shape != (self._n,) or not values.is_floating_point():
            raise InputError(
                f"the loss must return one value a sample, (n,), not {_described(values)} for n = {self._n}; do not"
                " average or sum it"
            )
        if not torch.isfinite(values).all():
            raise InputError(f"the loss of some samples is not finite; {self._where_not_finite()}")
        if not values.requires_grad:
            raise InputError(
                "the loss cannot be differentiated with respect to the logits; compute it from them in torch, without"
                " detach(), argmax or numpy"
            )
        if differ(self._losses(logits)[0].detach(), values.detach()):
            raise InputError("the loss gives other values a second time; let it draw nothing and keep nothing")
        return values.detach(), writes

    def _losses(self, logits: Tensor) -> tuple[Any, bool]:
        targets = self._targets()
        with torch.enable_grad(), told("the loss cannot be computed from these targets", "give targets that fit"):
            z = logits.clone().requires_grad_(True) * 1  # no leaf, which would allow no change in place
            versions = targets._version, z._version
            values: Any = self.objective.loss(z, targets)
        return values, (targets._version, z._version) != versions

    def require_one_function(self, habits: Habits, logits: Tensor, losses: Tensor) -> None:
        """Raise InputError where logits or losses depend on chance, or on the samples beside: on micro-batches, then.

        Rows alone are computed with gradients on, as products are.
        """
        before, inputs, targets = _marks(self.objective.model), self._inputs(habits), self._targets()
        with told("the model fails when it is called a second time", "let it keep nothing from one call to the next"):
            some = self._call(habits, inputs[self._some])
            again = self._call(habits, inputs[self._some])
        if differ(again, some):
            raise InputError(
                "the model gives other logits for the same samples a second time; switch off what draws at random"
                " (functional dropout needs training=self.training), and what it keeps from one call to the next"
            )
        after = _marks(self.objective.model)
        _raise_rewritten([name for name, mark in before.items() if after.get(name) != mark])
        for row in self._some.tolist():
            alone, loss = self._alone(
                habits, inputs[row : row + 1].clone(), targets[row : row + 1].clone(), logits[row]
            )
            if alone.shape != logits[:1].shape or loss.shape != (1,):
                raise InputError(
                    f"the model or loss gives shape {tuple(alone.shape)} for one sample, not {(1, *logits.shape[1:])},"
                    " and a last micro-batch may hold one; give dimensions to squeeze() and view()"
                )
            if differ(alone, logits[row : row + 1], logits):
                raise InputError(
                    "a sample's logits depend on the other samples of its batch (sample"
                    f" {row + 1} of {self._n} differs from itself alone); {REMEDIES}"
                )
            if differ(loss, losses[row : row + 1], losses):
                raise InputError(
                    "a sample's loss depends on the other samples of its batch, as contrastive and class-balanced"
                    " losses do; give a loss of each sample alone, with weights that are counted once over all data"
                )

    def _alone(self, habits: Habits, inputs: Tensor, targets: Tensor, logits_C: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of a sample in a batch of its own, and the loss of the logits it has in one."""
        what = f"the model or loss takes {self._n} samples together but not one alone"
        remedy = "a last micro-batch may hold one: give dimensions to squeeze() and view(), and normalize no batch"
        with told(what, remedy):
            with torch.enable_grad(), self._guard:
                out: Tensor = self.objective.call(habits, self._leaves, inputs).detach()
            loss: Tensor = self.objective.loss(logits_C[None].clone(), targets)
        return out, loss

    def takes_channels_last(self, habits: Habits, logits: Tensor) -> bool:
        """Whether images may come in channels-last order: the same logits, and two derivatives that can be had.

        ``x.view(n, -1)`` behind a convolution, which torch refuses there, is one reason why not.
        """
        inputs = self._inputs(habits)
        # Torch's backward of a fractional pooling reads beyond a gradient in that order, and ends the process (2.13).
        fractional = any(isinstance(module, nn.FractionalMaxPool2d) for module in self.objective.model.modules())
        if inputs.ndim != 4 or fractional:
            return False
        last = inputs[self._some].to(memory_format=torch.channels_last)
        try:
            same = not differ(self._call(habits, last.clone()), logits[self._some])
            return same and self._twice_differentiable(habits, last[:2])
        except Exception as error:  # of the user's code, in this order only; or in the other too: products will tell
            if not is_of_the_user(error):
                raise
            return False

    def _twice_differentiable(self, habits: Habits, inputs: Tensor) -> bool:
        leaves = self._leaves
        with torch.enable_grad():
            loss = self.objective.loss(
                self.objective.call(habits, leaves, inputs), self._targets()[self._some][:2]
            ).sum()
            first = torch.autograd.grad(loss, leaves, create_graph=True, allow_unused=True, materialize_grads=True)
            moving = [g for g in first if g.requires_grad]
            if moving:
                torch.autograd.grad(moving, leaves, moving, allow_unused=True)
        return True

    def _call(self, habits: Habits, inputs: Tensor) -> Any:
        with torch.set_grad_enabled(habits.needs_gradients), self._guard:
            out = self.objective.call(habits, self._leaves, inputs)
        return out.detach() if isinstance(out, Tensor) else out

    def _inputs(self, habits: Habits) -> Tensor:
        return self.objective.tensors(self._x, self._y[:1], self._device, habits=habits)[0]

    def _targets(self) -> Tensor:
        return self.objective.tensors(self._x[:1], self._y, self._device)[1]

    def _require_logits(self, out: Any) -> None:
        if not isinstance(out, Tensor) or out.ndim != 2 or len(out) != self._n or not out.is_floating_point():
            raise InputError(
                f"the model must return logits of shape (n, C) for n samples, not {_described(out)} for"
                f" n = {self._n}; wrap it so that it does"
            )
        if out.dtype != self.objective.dtype:
            raise InputError(
                f"the model returns {_short(out.dtype)} logits for {_short(self.objective.dtype)} weights, so that"
                f" digits are lost; remove the conversion, or choose dtype {_short(out.dtype)}"
            )

    def _require_weights(self, names: list[str]) -> None:
        """By value: what is written through ``data`` leaves no other trace."""
        own = dict(self.objective.model.named_parameters())
        theta = torch.split(self.objective.theta, self.objective.sizes)
        pieces = zip(self.objective.names, self._leaves, theta, strict=True)
        changed = [
            name
            for name, leaf, value in pieces
            if not all(torch.equal(tensor.detach().cpu().reshape(-1), value) for tensor in (leaf, own[name]))
        ]
        _raise_rewritten(changed)
        made = [name for name in own if name not in names]
        if made:
            raise InputError(f"the first forward pass makes the parameter {made[0]!r}; run the model on a batch first")

    def _where_not_finite(self) -> str:
        for name, tensor in self.objective.model.named_buffers():
            if tensor.is_floating_point() and not torch.isfinite(tensor).all():
                return f"look at the buffer {name!r}, which holds NaN or infinite values, and at weights and samples"
        return "look at the weights and samples, and for a logarithm or quotient at 0 in model or loss"


def _raise_rewritten(names: list[str]) -> None:
    if names:
        raise InputError(
            f"the forward pass rewrites {names[0]!r} of the model, so that it is no function of its weights; change"
            " weights and buffers in training only (if self.training), and set max_norm of an embedding to None:"
            " what it did is in the weights"
        )


def _short(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _described(value: Any) -> str:
    if not isinstance(value, Tensor):
        return f"a {type(value).__name__}"
    return f"{_short(value.dtype)} of shape {tuple(value.shape)}"


def differ(found: Any, expected: Tensor, beside: Tensor | None = None) -> bool:
    """By more than rounding, relative to the largest entry of ``beside``, or of what is expected."""
    if not isinstance(found, Tensor) or found.shape != expected.shape:
        return True
    same = (found == expected) | (found.isnan() & expected.isnan())  # −inf may be a logit
    if same.all():
        return False
    sizes = (expected if beside is None else beside).abs()
    scale = torch.where(sizes.isfinite(), sizes, torch.zeros_like(sizes)).max()
    return not bool((same | ((found - expected).abs() <= agreement(expected.dtype) * scale)).all())


def _marks(model: nn.Module) -> dict[str, tuple[int, int]]:
    """What changes where a weight or buffer is written or replaced."""
    named = [*model.named_parameters(), *model.named_buffers()]
    return {name: (tensor.data_ptr(), tensor._version) for name, tensor in named}
