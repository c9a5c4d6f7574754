"""Model, weights, loss, data, and the parameters the mean loss is a function of.

Shapes: P parameters, N samples, n samples of a micro-batch, C logits.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.attention import SDPBackend, sdpa_kernel

from distlandscape.data.blocks import BlockStore, Samples
from distlandscape.errors import InputError
from distlandscape.models.weights import weights_sha256
from distlandscape.objective import norms
from distlandscape.objective.checks import brief, check_sample, parameter_dtype, selected
from distlandscape.objective.losses import Loss, mse, resolve_loss

NORMS = ("population", "batch")


class Batch(NamedTuple):
    """A micro-batch: samples x (n, …), targets y, and the index of its first sample in the data."""

    x: Tensor
    y: Tensor
    first: int


class Objective:
    """The mean over N samples of a loss, as a function of a flat parameter vector θ (P,).

    L(θ) = (1/N) Σ_μ ℓ(z^μ(θ), y^μ) + (λ/2)|θ|². θ is flattened in the order of ``model.named_parameters()``, each
    row-major. The model is copied, put into eval mode (no dropout) and never changed. Nothing is computed here but a
    few forward passes of one or two samples, as a check.

    Args:
        model: a module from samples (n, …) to logits (n, C), or to an object that has them as ``.logits``.
        data: (X, y) or a BlockStore; y holds labels 0…C−1, or targets (N, C) for "mse".
        loss: "cross_entropy", "mse" or a function (logits, targets) -> one value a sample (n,).
        parameters: patterns of parameter names (shell wildcards), or names of layers, the objective is a function of;
            None: all.
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
        if not 0 <= weight_decay < float("inf"):
            raise InputError(f"weight_decay={weight_decay} must be a finite number, 0 or positive; correct it")
        self.loss = resolve_loss(loss, label_smoothing)
        self.classification = loss == "cross_entropy"
        self.weight_decay = float(weight_decay)
        self.data = data if isinstance(data, BlockStore) else _store(data)
        self.dtype = dtype or parameter_dtype(model)
        self.default_dtype = torch.get_default_dtype()  # of constants that the model makes, in every process
        if self.dtype not in (torch.float32, torch.float64):
            raise InputError(f"dtype {self.dtype} is not supported; choose torch.float32 or torch.float64")
        if norm == "population":
            norms.require_running_statistics(model)
        self.model = copy.deepcopy(model).to(self.dtype).eval().requires_grad_(False)
        self._select(parameters)
        self._places = _places(self.model)
        self._statistics: Tensor | None = None
        if norm == "batch" and norms.fix_statistics(self.model):
            self._statistics = self._first_samples(norm_samples)
        self._take_theta()
        self.outputs = check_sample(self)

    def __repr__(self) -> str:
        name = getattr(self.loss, "func", self.loss)
        loss = getattr(name, "__name__", type(name).__name__)
        return (
            f"Objective({type(self.model).__name__}, {self.parameters:,} parameters, {self.samples:,} samples,"
            f" loss {loss}, {str(self.dtype).removeprefix('torch.')})"
        )

    def __copy__(self) -> Objective:
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__)
        return other

    def __getstate__(self) -> dict[str, Any]:
        """Without memory of a device, which another process may not have; the model of a CPU as it is."""
        on_cpu = all(t.device.type == "cpu" for t in (*self.model.parameters(), *self.model.buffers()))
        return self.__dict__ if on_cpu else {**self.__dict__, "model": copy.deepcopy(self.model).cpu()}

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
                f"the weights do not fit the model ({brief(error)}); give weights of this model"
            ) from error
        other._take_theta()
        return other

    def with_data(self, data: BlockStore) -> Objective:
        """The same objective over other samples; a statistics batch is taken from these.

        Raises:
            InputError: samples or targets that do not fit.
        """
        other = copy.copy(self)
        other.data = data
        if self._statistics is not None:
            other._statistics = other._first_samples(len(self._statistics))
        check_sample(other)
        return other

    def with_parameters(self, parameters: Sequence[str]) -> Objective:
        """The same objective as a function of other parameters, given as patterns; all else is shared, not copied.

        Raises:
            InputError: a pattern that matches nothing.
        """
        other = copy.copy(self)
        other._select(parameters)
        other._take_theta()
        return other

    def _select(self, patterns: Sequence[str] | None) -> None:
        named = dict(self.model.named_parameters())
        self.names = selected(list(named), patterns)
        self.shapes = [named[name].shape for name in self.names]
        self.sizes = [named[name].numel() for name in self.names]

    def _take_theta(self) -> None:
        for name, tensor in [*self.model.named_parameters(), *self.model.named_buffers()]:
            if not torch.isfinite(tensor).all():
                raise InputError(f"the weights hold NaN or infinite values, in {name!r}; give other weights")
        named = dict(self.model.named_parameters())
        self.theta = torch.cat([named[name].reshape(-1) for name in self.names]).cpu()

    def trainable_copy(self) -> nn.Module:
        """A copy of the model on the CPU in which the objective's parameters, and only those, take gradients."""
        model = copy.deepcopy(self.model).cpu()
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
        # Not functional_call's own handling of ties: for a module registered under two names it leaves the model
        # changed behind (torch 2.13), and later derivatives miss a use of its parameters.
        tensors = {place: leaf for name, leaf in zip(self.names, leaves, strict=True) for place in self._places[name]}
        fixed = 0
        if self._statistics is not None:
            fixed = len(self._statistics)
            norms.set_rows(self.model, fixed, fixed + len(x))
            x = torch.cat([self._statistics.to(x.device), x])
        with sdpa_kernel(SDPBackend.MATH):  # the fused attention kernels have no second derivative
            out: Any = functional_call(self.model, tensors, (x,), tie_weights=False)
        logits: Tensor = getattr(out, "logits", out)
        return logits[fixed:] if fixed else logits

    def loss_sum(self, leaves: Sequence[Tensor], x: Tensor, y: Tensor) -> Tensor:
        """Sum (not mean) of the loss over the samples of a micro-batch, without weight decay."""
        return self.loss(self.logits(leaves, x), y).sum()

    def tensors(self, x: Samples, y: Samples, device: torch.device) -> tuple[Tensor, Tensor]:
        """A micro-batch as fresh tensors: real numbers and bytes in the objective's dtype, other integers as int64.

        Samples are scaled as their store says.
        """
        inputs, scaling = self._tensor(x, device), self.data.scaling
        if scaling is not None:
            shape = [1, -1] + [1] * (inputs.ndim - 2)
            shift, divisor = (
                torch.tensor(values, dtype=self.dtype, device=device).view(shape)
                for values in (scaling.shift, scaling.divisor)
            )
            inputs = (inputs - shift) / divisor
        return inputs, self._tensor(y, device)

    def _tensor(self, array: Samples, device: torch.device) -> Tensor:
        tensor = torch.from_numpy(np.array(array))
        real = tensor.is_floating_point() or tensor.dtype == torch.uint8
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
        return torch.cat(taken)


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
