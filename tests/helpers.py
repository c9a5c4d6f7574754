"""Slow, short and obviously right: dense oracles in float64 that share no code with the package."""

from __future__ import annotations

import copy
from fnmatch import fnmatchcase
from itertools import pairwise

import numpy as np
import torch
from torch import nn
from torch.func import functional_call


def samples(shape, outputs, n=37, seed=0):
    """Gaussian inputs (n, *shape) and labels (n,) as numpy arrays."""
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, *shape)), rng.integers(0, outputs, n)


def naive_cross_entropy(z, y):
    """-log softmax at the label, (n,)."""
    return z.logsumexp(1) - z.gather(1, y[:, None])[:, 0]


def naive_mse(z, y):
    """Sum over outputs of squared errors, (n,); labels become one-hot."""
    targets = torch.eye(z.shape[1], dtype=z.dtype)[y] if y.ndim == 1 else y
    return ((z - targets) ** 2).sum(1)


def heavy_tailed(z, y):
    """A loss of one value a sample that no library knows."""
    return torch.log1p((z - y[:, None].to(z.dtype)).square().sum(1)) + 0.1 * (z**3).sum(1)


NAIVE = {"cross_entropy": naive_cross_entropy, "mse": naive_mse}


class Dense:
    """Mean loss on all samples as a function of the flat vector of the parameters that match ``patterns``."""

    def __init__(self, model, x, y, loss="cross_entropy", patterns=("*",)):
        self.model = copy.deepcopy(model).double().eval()
        self.x = torch.as_tensor(x).double()
        self.y = torch.as_tensor(y)
        self.loss = NAIVE[loss] if isinstance(loss, str) else loss
        named = dict(self.model.named_parameters())
        self.chosen = {k: v.detach() for k, v in named.items() if any(fnmatchcase(k, p) for p in patterns)}
        self.theta = torch.cat([v.flatten() for v in self.chosen.values()])

    def logits(self, theta):
        """(N, C)."""
        pieces, start = {}, 0
        for name, value in self.chosen.items():
            pieces[name] = theta[start : start + value.numel()].view(value.shape)
            start += value.numel()
        return functional_call(copy.deepcopy(self.model), pieces, (self.x,))  # a copy: ties may be lost in the call

    def value(self, theta):
        """Mean loss."""
        return self.loss(self.logits(theta), self.y).mean()

    def gradient(self):
        """(P,)."""
        return torch.func.grad(self.value)(self.theta)

    def jacobian(self):
        """(N, C, P)."""
        return torch.func.jacrev(self.logits)(self.theta).detach()

    def hessian(self):
        """(P, P)."""
        return torch.func.hessian(self.value)(self.theta).detach()

    def gauss_newton(self):
        """(P, P): the mean of JᵀAJ, A by its formula where there is one."""
        z = self.logits(self.theta).detach()
        if self.loss is naive_cross_entropy:
            p = z.softmax(1)
            curvature = torch.diag_embed(p) - p[:, :, None] * p[:, None, :]
        elif self.loss is naive_mse:
            curvature = 2 * torch.eye(z.shape[1]).double().expand(len(z), -1, -1)
        else:
            one = lambda z, y: self.loss(z[None], y[None])[0]  # noqa: E731
            curvature = torch.stack([torch.func.hessian(one)(z[i], self.y[i]) for i in range(len(z))])
        J = self.jacobian()
        return torch.einsum("nip,nij,njq->pq", J, curvature, J) / len(z)


def relative(a, b):
    """Norm of a − b over the norm of b, in float64."""
    a, b = torch.as_tensor(a).detach().double(), torch.as_tensor(b).detach().double()
    return float((a - b).norm() / b.norm())


def bias_free(*widths, activation=nn.ReLU, seed=0):
    """Fully connected net without biases."""
    torch.manual_seed(seed)
    layers = [nn.Flatten()]
    for a, b in pairwise(widths):
        layers += [nn.Linear(a, b, bias=False), activation()]
    return nn.Sequential(*layers[:-1]).double()
