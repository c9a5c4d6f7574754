"""What a row of the table is: a net, data and a loss as strangers bring them, and what has to come of it."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.func import functional_call
from torch.nn.attention import SDPBackend, sdpa_kernel

N, C = 12, 3


def cross_entropy(z, y):
    """One value a sample."""
    return nn.functional.cross_entropy(z, y, reduction="none")


@dataclass
class Row:
    """A situation.

    Attributes:
        model: handed over.
        data: handed over.
        loss: handed over.
        options: of the objective.
        sentence: a pattern of the refusal; None: it has to be measured.
        plain: a module that computes the same in plain torch, where the model handed over does not let itself be
            differentiated by torch alone; None: the model.
        inputs: the samples as torch alone takes them; None: as handed over.
        oracle_loss: one value a sample, in plain torch.
        names: of the parameters that count; None: all.
        operator: whether an operator has to be made before the refusal shows: it lacks a second derivative.
    """

    model: Any
    data: Any
    loss: Any = "cross_entropy"
    options: dict[str, Any] = field(default_factory=dict)
    sentence: str | None = None
    plain: nn.Module | None = None
    inputs: Any = None
    oracle_loss: Any = cross_entropy
    names: list[str] | None = None
    operator: bool = False

    def derivatives(self):
        """Gradient (P,) and dense Hessian (P, P) of the mean loss over all samples, in float64 by torch alone."""
        model = (self.model if self.plain is None else self.plain).double()
        model.eval()
        x, y = self.data if self.inputs is None else (self.inputs, self.data[1])
        x = torch.as_tensor(x)
        x = x.double() if x.is_floating_point() else x
        if not isinstance(y, torch.Tensor):
            y = torch.tensor(np.array(y, dtype=np.int64))
        y = y.long() if y.dtype in (torch.int32, torch.uint8) and y.ndim == 1 else y
        named = dict(model.named_parameters())
        names = self.names or list(named)
        theta = torch.cat([named[name].detach().reshape(-1) for name in names]).requires_grad_(True)
        pieces = zip(names, torch.split(theta, [named[name].numel() for name in names]), strict=True)
        swapped = {name: piece.view(named[name].shape) for name, piece in pieces}
        with sdpa_kernel(SDPBackend.MATH):
            out = functional_call(model, swapped, (x.clone(),))
            mean = self.oracle_loss(getattr(out, "logits", out), y.clone()).mean()
            (gradient,) = torch.autograd.grad(mean, theta, create_graph=True)
            rows = [torch.autograd.grad(g, theta, retain_graph=True)[0] for g in gradient]
        dense = torch.stack(rows)
        assert (dense - dense.T).norm() <= 1e-10 * (dense.norm() + 1), "the oracle itself is wrong"
        return gradient.detach(), dense


def seeded(make, *arguments, **options):
    """A module with weights of its own, whatever was drawn before."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        return make(*arguments, **options)


def quiet(make, *arguments, **options):
    """What torch warns of, and people still have."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return make(*arguments, **options)


def flat(features=5, n=N, seed=1):
    """Samples (n, features) and labels."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, features, generator=generator), torch.randint(0, C, (n,), generator=generator)


def images(channels=2, side=5, n=N, seed=2):
    """Samples (n, channels, side, side) and labels."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, channels, side, side, generator=generator)
    return x, torch.randint(0, C, (n,), generator=generator)


def series(steps=4, features=3, n=N, seed=3):
    """Samples (n, steps, features) and labels."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, steps, features, generator=generator), torch.randint(0, C, (n,), generator=generator)


def tokens(vocabulary=9, steps=4, n=N, seed=4):
    """Whole-number samples (n, steps) and labels."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randint(0, vocabulary, (n, steps), generator=generator)
    return x, torch.randint(0, C, (n,), generator=generator)


def net(*layers):
    """A sequence of layers with weights of its own."""
    return seeded(lambda: nn.Sequential(*[layer() for layer in layers]))


def mlp(inputs=5, outputs=C):
    """A small smooth net."""
    return net(lambda: nn.Linear(inputs, 4), nn.Tanh, lambda: nn.Linear(4, outputs))
