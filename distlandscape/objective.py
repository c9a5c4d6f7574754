"""The function whose geometry is measured: model, weights, loss, data, and the parameters it is a function of.

Shapes: P parameters, N samples, n samples of a micro-batch, C logits.
"""

from __future__ import annotations

import copy
import textwrap
from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call

from distlandscape.data.blocks import BlockStore, Samples
from distlandscape.errors import InputError
from distlandscape.models.weights import weights_sha256

Loss = Callable[[Tensor, Tensor], Tensor]


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy of each sample (n,) from logits (n, C) and integer labels (n,)."""
    return nn.functional.cross_entropy(logits, labels, reduction="none")


def mse(outputs: Tensor, targets: Tensor) -> Tensor:
    """Σ_k (z_k − y_k)² of each sample (n,); integer labels stand for one-hot targets."""
    if targets.ndim == 1 and not targets.is_floating_point():
        targets = nn.functional.one_hot(targets, outputs.shape[1]).to(outputs.dtype)
    return (outputs - targets.reshape(outputs.shape)).square().sum(1)


LOSSES: dict[str, Loss] = {"cross_entropy": cross_entropy, "mse": mse}


class Objective:
    """The mean over N samples of a loss, as a function of a flat parameter vector θ (P,).

    θ is flattened in the order of ``model.named_parameters()``, each row-major. The model is copied, put into eval
    mode (population statistics in normalisation layers, no dropout) and never changed. Nothing is computed here but
    one forward pass of one sample, as a check.

    Args:
        model: a module from samples (n, …) to logits (n, C).
        data: (X, y) or a BlockStore; y holds labels 0…C−1, or targets (N, C) for "mse".
        loss: "cross_entropy", "mse" or a function (logits, targets) -> one value a sample (n,).
        parameters: patterns of parameter names (shell wildcards) the objective is a function of; None: all.
        norm: "population": normalisation layers use their stored statistics.
        dtype: torch.float32 or torch.float64; None: that of the model's parameters.

    Raises:
        InputError: data, weights or options that do not fit; the sentence says which and what to do.
    """

    def __init__(
        self,
        model: nn.Module,
        data: BlockStore | tuple[Samples, Samples] | tuple[Tensor, Tensor],
        loss: str | Loss = "cross_entropy",
        *,
        parameters: Sequence[str] | None = None,
        norm: str = "population",
        dtype: torch.dtype | None = None,
    ) -> None:
        if norm != "population":
            raise InputError(f"norm={norm!r} is unknown; known: 'population'")
        if isinstance(loss, str) and loss not in LOSSES:
            raise InputError(
                f"loss {loss!r} is unknown; known: {', '.join(LOSSES)}, or a function of one value a sample"
            )
        if not isinstance(loss, str) and not callable(loss):
            raise InputError(f"loss {loss!r} is neither a name ({', '.join(LOSSES)}) nor a function; give one of them")
        self.loss: Loss = LOSSES[loss] if isinstance(loss, str) else loss
        self.classification = loss == "cross_entropy"
        self.data = data if isinstance(data, BlockStore) else _store(data)
        self.dtype = dtype or _parameter_dtype(model)
        if self.dtype not in (torch.float32, torch.float64):
            raise InputError(f"dtype {self.dtype} is not supported; choose torch.float32 or torch.float64")
        _require_population_statistics(model)
        self.model = copy.deepcopy(model).to(self.dtype).eval().requires_grad_(False)
        named = dict(self.model.named_parameters())
        self.names = _selected(list(named), parameters)
        self.shapes = [named[name].shape for name in self.names]
        self.sizes = [named[name].numel() for name in self.names]
        self._places = _places(self.model)
        self._take_theta()
        self.outputs = self._check_sample()

    @property
    def parameters(self) -> int:
        """P, the number of entries of θ."""
        return sum(self.sizes)

    @property
    def samples(self) -> int:
        """N."""
        return self.data.samples

    @property
    def weights_sha256(self) -> str:
        """Digest of all weights and buffers the loss is computed with."""
        return weights_sha256(self.model)

    def with_weights(self, state: Mapping[str, Tensor]) -> Objective:
        """The same objective at other weights and buffers, given as a state dict.

        Raises:
            InputError: names or shapes that do not fit, NaN or inf.
        """
        other = copy.copy(self)
        other.model = copy.deepcopy(self.model)
        try:
            other.model.load_state_dict(dict(state))
        except RuntimeError as error:
            raise InputError(
                f"the weights do not fit the model ({_brief(error)}); give weights of this model"
            ) from error
        other._take_theta()
        return other

    def _take_theta(self) -> None:
        for name, tensor in [*self.model.named_parameters(), *self.model.named_buffers()]:
            if not torch.isfinite(tensor).all():
                raise InputError(f"the weights hold NaN or infinite values, in {name!r}; give other weights")
        named = dict(self.model.named_parameters())
        self.theta = torch.cat([named[name].reshape(-1) for name in self.names]).cpu()

    def trainable_copy(self) -> nn.Module:
        """A copy of the model on the CPU in which the objective's parameters, and only those, take gradients."""
        model = copy.deepcopy(self.model).cpu()
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
        # Not functional_call's own handling of ties: for a module registered under two names it leaves the model
        # changed behind (torch 2.13), and later derivatives miss a use of its parameters.
        tensors = {place: leaf for name, leaf in zip(self.names, leaves, strict=True) for place in self._places[name]}
        out: Tensor = functional_call(self.model, tensors, (x,), tie_weights=False)
        return out

    def loss_sum(self, leaves: Sequence[Tensor], x: Tensor, y: Tensor) -> Tensor:
        """Sum (not mean) of the loss over the samples of a micro-batch."""
        return self.loss(self.logits(leaves, x), y).sum()

    def tensors(self, x: Samples, y: Samples, device: torch.device) -> tuple[Tensor, Tensor]:
        """A micro-batch as fresh tensors: real numbers and bytes in the objective's dtype, other integers as int64."""
        return self._tensor(x, device), self._tensor(y, device)

    def _tensor(self, array: Samples, device: torch.device) -> Tensor:
        tensor = torch.from_numpy(np.array(array))
        real = tensor.is_floating_point() or tensor.dtype == torch.uint8
        return tensor.to(device=device, dtype=self.dtype if real else torch.int64)

    def _check_sample(self) -> int:
        x, y = (array[:2] for array in self.data.block(0))  # two samples, where there are two, tell a mean from a value
        n = len(x)
        inputs, targets = self.tensors(x, y, next(self.model.parameters()).device)
        try:
            with torch.no_grad():
                logits = self.model(inputs)
        except Exception as error:
            hint = "" if inputs.is_floating_point() else " and type (whole numbers stay so; convert them to float32)"
            raise InputError(
                f"the model does not accept samples of shape {x.shape[1:]} ({_brief(error)}); give data that fit it in"
                f" shape{hint}"
            ) from error
        if not isinstance(logits, Tensor) or logits.ndim != 2 or len(logits) != n:
            raise InputError("the model must return logits of shape (n, C) for n samples; wrap it so that it does")
        self._check_targets(logits.shape[1])
        try:
            values: Any = self.loss(logits, targets)
        except Exception as error:
            raise InputError(
                f"the loss cannot be computed from these targets ({_brief(error)}); give targets that fit"
            ) from error
        if not isinstance(values, Tensor) or values.shape != (n,):
            what = f"shape {tuple(values.shape)} for n = {n}" if isinstance(values, Tensor) else type(values).__name__
            raise InputError(f"the loss must return one value a sample, (n,), not {what}; do not average or sum it")
        return int(logits.shape[1])

    def _check_targets(self, outputs: int) -> None:
        for index in range(self.data.blocks):
            y = self.data.block(index)[1]
            if y.ndim == 2 and self.loss is mse and y.shape[1] != outputs:
                raise InputError(f"targets have {y.shape[1]} columns, the model {outputs} outputs; make them equal")
            if self.loss is mse and y.ndim == 1 and y.dtype.kind == "f" and outputs != 1:
                raise InputError(
                    f"targets are single numbers, the model has {outputs} outputs; give (N, {outputs}) targets"
                )
            if self.classification and (y.ndim != 1 or y.dtype.kind != "i"):
                raise InputError("cross_entropy needs whole-number labels of shape (N,); use loss mse for real targets")
            if (
                y.ndim == 1
                and y.dtype.kind == "i"
                and self.loss in LOSSES.values()
                and not 0 <= y.min() <= y.max() < outputs
            ):
                raise InputError(
                    f"labels run from {y.min()} to {y.max()}, the model has {outputs} outputs: labels must be"
                    f" 0…{outputs - 1}; correct the labels or the model"
                )


def _brief(error: Exception) -> str:
    return textwrap.shorten(str(error), 200, placeholder="…") or type(error).__name__


def _store(data: Any) -> BlockStore:
    if not isinstance(data, (tuple, list)) or len(data) != 2:
        raise InputError(f"data must be (X, y) or a BlockStore, not a {type(data).__name__}; give both arrays")
    x, y = (a.detach().cpu().numpy() if isinstance(a, Tensor) else np.asarray(a) for a in data)
    return BlockStore.from_arrays(x, y)


def _places(model: nn.Module) -> dict[str, list[str]]:
    """Every place a parameter is used from, under its name; tied parameters have several, each module counts once."""
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    places: dict[str, list[str]] = {name: [] for name in names.values()}
    for prefix, module in model.named_modules():
        for name, parameter in module.named_parameters(recurse=False, remove_duplicate=False):
            places[names[id(parameter)]].append(f"{prefix}.{name}" if prefix else name)
    return places


def _require_population_statistics(model: nn.Module) -> None:
    for name, module in model.named_modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.running_mean is None:
            raise InputError(
                f"the normalisation layer {name!r} keeps no running statistics, so its output depends on how samples"
                " are batched; build it with track_running_stats=True"
            )


def _parameter_dtype(model: nn.Module) -> torch.dtype:
    for parameter in model.parameters():
        return parameter.dtype
    raise InputError("the model has no parameters; there is nothing to differentiate")


def _selected(names: list[str], patterns: Sequence[str] | None) -> list[str]:
    if patterns is None:
        return names
    if isinstance(patterns, str):
        raise InputError(f"objective.parameters must be a list of patterns, not one text; give [{patterns!r}]")
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise InputError(f"objective.parameters: no parameter matches {pattern!r}; there are {', '.join(names)}")
    chosen = [name for name in names if any(fnmatchcase(name, pattern) for pattern in patterns)]
    if not chosen:
        raise InputError("objective.parameters selects nothing; name at least one pattern, for example '*weight'")
    return chosen
