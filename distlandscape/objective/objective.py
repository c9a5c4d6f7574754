"""Model, weights, loss, data, and the parameters the mean loss is a function of.

Shapes: P parameters, N samples, n samples of a micro-batch, C logits.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call

from distlandscape.data.blocks import BlockStore, Samples
from distlandscape.display import counted
from distlandscape.errors import InputError
from distlandscape.models.weights import load_weights, take_weights, weights_sha256
from distlandscape.objective import norms
from distlandscape.objective.failures import told
from distlandscape.objective.forward_pass import forward_pass, has_weight_norm
from distlandscape.objective.given_data import block_store
from distlandscape.objective.habits import Habits, find_habits
from distlandscape.objective.losses import Loss, TheirLoss, mse, resolve_loss
from distlandscape.objective.moved_weights import require_function_of_weights
from distlandscape.objective.parameters import places, selected
from distlandscape.objective.private_copy import NoWeightsOf, detached_copy, has_history, private_copy
from distlandscape.objective.switches import measuring

NORMS = ("population", "batch")


class Batch(NamedTuple):
    """A micro-batch: samples x (n, …), targets y, and the index of its first sample in the data."""

    x: Tensor
    y: Tensor
    first: int


class Objective:
    """The mean over N samples of a loss, as a function of a flat parameter vector θ (P,).

    L(θ) = (1/N) Σ_μ ℓ(z^μ(θ), y^μ) + (λ/2)|θ|². θ is flattened in the order of ``model.named_parameters()``, each
    row-major. The model is copied, put into eval mode (no dropout) and never changed. Nothing is computed here but
    forward passes of a few samples, and two derivatives for images, as a check.

    Args:
        model: a module from samples (n, …) to logits (n, C), or to an object that has them as ``.logits``.
        data: (X, y) or a BlockStore; y holds labels 0…C−1, or targets (N, C) for "mse".
        loss: "cross_entropy", "mse" or a function (logits, targets) -> one value a sample (n,).
        parameters: patterns of parameter names (shell wildcards), or names of layers, the objective is a function of;
            None: those that require gradients where some are frozen (``requires_grad=False``), else all. ["*"]: all.
        norm: what BatchNorm layers normalise by. "population": their stored statistics. "batch": the statistics of the
            first ``norm_samples`` samples of the data, whatever sample is looked at; derivatives flow through them.
        dtype: torch.float32 or torch.float64; None: that of the model's parameters.
        weight_decay: λ, over the selected parameters.
        label_smoothing: ε of "cross_entropy".
        norm_samples: size of the statistics batch (at most N) of norm "batch".

    Raises:
        InputError: data, weights or options that do not fit; the sentence says which and what to do.
    """

    @torch.inference_mode(False)  # tensors made within it take no gradients, for ever
    def __init__(
        self,
        model: nn.Module,
        data: BlockStore | tuple[Samples, Samples] | tuple[Tensor, Tensor],
        loss: str | Loss = "cross_entropy",
        *,
        parameters: Sequence[str] | None = None,
        norm: str = "population",
        dtype: torch.dtype | None = None,
        weight_decay: float = 0.0,
        label_smoothing: float = 0.0,
        norm_samples: int = 256,
    ) -> None:
        if norm not in NORMS:
            raise InputError(f"norm={norm!r} is unknown; known: {', '.join(map(repr, NORMS))}")
        decay: Any = weight_decay
        if not isinstance(decay, (int, float)) or not 0 <= decay < float("inf"):
            raise InputError(f"weight_decay={weight_decay} must be a finite number, 0 or positive; correct it")
        self.classification = loss == "cross_entropy"
        self.weight_decay = float(weight_decay)
        self.data = block_store(data)
        self.model = private_copy(model, dtype)
        self.dtype = next(p.dtype for p in self.model.parameters() if p.is_floating_point())
        self.loss = resolve_loss(loss, label_smoothing, self.dtype)
        if norm == "population":
            norms.require_running_statistics(self.model)
        self._select(parameters)
        self.frozen = 0 if parameters is not None else sum(p.numel() for p in self.model.parameters()) - self.parameters
        self.model.requires_grad_(False)
        self._places = places(self.model)
        self._weight_norm = has_weight_norm(self.model)
        self.habits = Habits()
        self._statistics: Tensor | None = None
        if norm == "batch" and norms.fix_statistics(self.model):
            self._statistics = self._first_samples(norm_samples)
        self._take_theta()
        fresh = detached_copy(self.model)
        self._try_out(NoWeightsOf(model))
        require_function_of_weights(self, fresh)

    def __repr__(self) -> str:
        name = getattr(self.loss, "func", self.loss)
        loss = getattr(name, "__name__", type(name).__name__)
        return (
            f"Objective({type(self.model).__name__}, {self.described_parameters}, {self.samples:,} samples,"
            f" loss {loss}, {str(self.dtype).removeprefix('torch.')})"
        )

    def __copy__(self) -> Objective:
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__)
        return other

    def __getstate__(self) -> dict[str, Any]:
        """Without memory of a device, which another process may not have, and without graphs of earlier passes."""
        on_cpu = all(t.device.type == "cpu" for t in (*self.model.parameters(), *self.model.buffers()))
        if on_cpu and not has_history(self.model):
            return self.__dict__
        return {**self.__dict__, "model": detached_copy(self.model).cpu()}

    @property
    def described_parameters(self) -> str:
        """P in words, beside what is not among them: "212 of 1,422 parameters; 1,210 frozen"."""
        whole = sum(parameter.numel() for parameter in self.model.parameters())
        if whole == self.parameters:
            return counted(self.parameters, "parameter")
        frozen = f"; {self.frozen:,} frozen" if self.frozen else ""
        return f"{self.parameters:,} of {counted(whole, 'parameter')}{frozen}"

    @property
    def parameters(self) -> int:
        """P, the number of entries of θ."""
        return sum(self.sizes)

    @property
    def samples(self) -> int:
        """N, the number of samples."""
        return self.data.samples

    @property
    def likelihood(self) -> str | None:
        """The distribution of targets whose −log is the loss: "categorical", "normal" (variance ½) or None."""
        if self.classification:
            return "categorical"
        return "normal" if self.loss is mse else None

    @property
    def weights_sha256(self) -> str:
        """Digest of all weights and buffers the loss is computed with."""
        return weights_sha256(self.model)

    @torch.inference_mode(False)
    def with_weights(self, state: Mapping[str, Tensor] | str | Path) -> Objective:
        """The same objective at other weights and buffers, given as a state dict, or as a file that holds one.

        Names that wrappers and prefixes changed are understood, see ``load_weights``.

        Raises:
            InputError: no file, names or shapes that do not fit, NaN or inf.
        """
        other = copy.copy(self)
        other.model = detached_copy(self.model)
        if isinstance(state, (str, Path)):
            load_weights(other.model, state)
        else:
            take_weights(other.model, state)
        other._take_theta()
        return other

    @torch.inference_mode(False)
    def with_data(self, data: BlockStore | tuple[Samples, Samples] | tuple[Tensor, Tensor]) -> Objective:
        """The same objective over other samples, a store or (X, y); a statistics batch is taken from these.

        Raises:
            InputError: samples or targets that do not fit.
        """
        other = copy.copy(self)
        other.data = block_store(data)
        if self._statistics is not None:
            other._statistics = other._first_samples(len(self._statistics))
        other._try_out(contextlib.nullcontext())
        return other

    def with_parameters(self, parameters: Sequence[str]) -> Objective:
        """The same objective as a function of other parameters, given as patterns; all else is shared, not copied.

        Raises:
            InputError: a pattern that matches nothing.
        """
        other = copy.copy(self)
        other.frozen = 0
        other._select(parameters)
        other._take_theta()
        return other

    def _try_out(self, guard: contextlib.AbstractContextManager[object]) -> None:
        with measuring(next(self.model.parameters()).device, self.dtype):
            self.habits, self.outputs = find_habits(self, guard)
        if self.habits.loss_writes:
            self.loss = TheirLoss(getattr(self.loss, "func", self.loss), copies=True)

    def _select(self, patterns: Sequence[str] | None) -> None:
        named = dict(self.model.named_parameters())
        self.names = selected(self.model, patterns)
        self.shapes = [named[name].shape for name in self.names]
        self.sizes = [named[name].numel() for name in self.names]

    def _take_theta(self) -> None:
        named = dict(self.model.named_parameters())
        for name, tensor in named.items():  # not buffers: a mask of −inf is one
            if not torch.isfinite(tensor).all():
                raise InputError(f"the weights hold NaN or infinite values, in {name!r}; give other weights")
        self.theta = torch.cat([named[name].reshape(-1) for name in self.names]).cpu()

    def trainable_copy(self) -> nn.Module:
        """A copy of the model on the CPU in which the objective's parameters, and only those, take gradients."""
        model = detached_copy(self.model).cpu()
        norms.free_statistics(model)
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(name in self.names)
        return model

    def leaves(self) -> list[Tensor]:
        """θ as differentiable tensors, one a parameter."""
        named = dict(self.model.named_parameters())
        return [named[name].detach().requires_grad_(True) for name in self.names]

    def split(self, vector_P: Tensor) -> list[Tensor]:
        """Views of a flat vector in the shapes of the parameters."""
        pieces = torch.split(vector_P, self.sizes)
        return [piece.view(shape) for piece, shape in zip(pieces, self.shapes, strict=True)]

    def logits(self, leaves: Sequence[Tensor], x: Tensor) -> Tensor:
        """Logits (n, C) of samples ``x`` (n, …)."""
        with told("the model fails on some samples", "run it on them in plain torch, and correct it"):
            logits: Tensor = self.call(self.habits, leaves, x)
        return logits

    def call(self, habits: Habits, leaves: Sequence[Tensor], x: Tensor) -> Any:
        """What the model returns for samples ``x``, called as ``habits`` say; its ``logits``, if it has any."""
        # Not functional_call's own handling of ties: for a module registered under two names it leaves the model
        # changed behind (torch 2.13), and later derivatives miss a use of its parameters.
        tensors = {place: leaf for name, leaf in zip(self.names, leaves, strict=True) for place in self._places[name]}
        fixed = 0
        if self._statistics is not None:
            fixed = len(self._statistics)
            norms.set_rows(self.model, fixed, fixed + len(x))
            x = torch.cat([self._statistics.to(x), x])
        elif habits.writes:
            x = x.clone()
        with forward_pass(self._weight_norm), torch.set_grad_enabled(torch.is_grad_enabled() or habits.needs_gradients):
            out: Any = functional_call(self.model, tensors, (x,), tie_weights=False)
        out = getattr(out, "logits", out)
        return out[fixed:] if fixed else out

    def loss_sum(self, leaves: Sequence[Tensor], x: Tensor, y: Tensor) -> Tensor:
        """Sum (not mean) of the loss over the samples of a micro-batch, without weight decay."""
        return self.loss(self.logits(leaves, x), y).sum()

    def tensors(
        self,
        x: Samples,
        y: Samples,
        device: torch.device,
        *,
        channels_last: bool = False,
        habits: Habits | None = None,
    ) -> tuple[Tensor, Tensor]:
        """A micro-batch as fresh tensors: real numbers and bytes in the objective's dtype, other integers as int64.

        Samples are scaled as their store says. With ``channels_last``, images lie in that order where the model takes
        it. ``habits``: of the model; None: as they were found.
        """
        habits = self.habits if habits is None else habits
        inputs, scaling = self._tensor(x, device, whole=habits.whole), self.data.scaling
        if scaling is not None and inputs.is_floating_point():
            shape = [1, -1] + [1] * (inputs.ndim - 2)
            shift, divisor = (
                torch.tensor(values, dtype=self.dtype, device=device).view(shape)
                for values in (scaling.shift, scaling.divisor)
            )
            inputs = (inputs - shift) / divisor
        if channels_last and habits.channels_last:
            # ``contiguous`` would leave grey images as they are, and all layers behind them too.
            inputs = inputs.to(memory_format=torch.channels_last)
        return inputs, self._tensor(y, device)

    def _tensor(self, array: Samples, device: torch.device, whole: bool = False) -> Tensor:
        tensor = torch.from_numpy(np.array(array))
        real = tensor.is_floating_point() or (tensor.dtype == torch.uint8 and not whole)
        return tensor.to(device=device, dtype=self.dtype if real else torch.int64)

    def _first_samples(self, count: int) -> Tensor:
        if count < 2:
            raise InputError(f"norm_samples={count}: a statistics batch needs at least 2 samples; raise it")
        taken: list[Tensor] = []
        for index in range(self.data.blocks):
            x, y = self.data.block(index)
            taken.append(self.tensors(x[: count - sum(map(len, taken))], y[:1], torch.device("cpu"))[0])
            if sum(map(len, taken)) >= count:
                break
        if sum(map(len, taken)) < 2:
            raise InputError("a statistics batch needs at least 2 samples, and the data hold one; give more")
        return torch.cat(taken)
