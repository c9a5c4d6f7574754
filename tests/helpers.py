"""Slow, short and obviously right: dense oracles in float64 that share no code with the package, and logs alike."""

from __future__ import annotations

import copy
import functools
import hashlib
import json
from fnmatch import fnmatchcase
from itertools import pairwise
from unittest import mock

import numpy as np
import torch
from torch import nn
from torch.func import functional_call
from torch.nn.attention import SDPBackend, sdpa_kernel


def unchained(event):
    """An event of a log without its time and its place in the chain, as it is appended."""
    return {name: value for name, value in event.items() if name not in ("time", "line", "before", "hash")}


def chained(events):
    """A log of these events and no others, each line chained to the one before."""
    log, before = b"", ""
    for number, event in enumerate(events, 1):
        told = {**{name: value for name, value in event.items() if name != "hash"}, "line": number, "before": before}
        line = json.dumps(told).encode().removesuffix(b"}")
        before = hashlib.sha256(line).hexdigest()
        log += line + b', "hash": "' + before.encode() + b'"}\n'
    return log


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
    """Mean loss on all samples as a function of the flat vector of the parameters that match ``patterns``.

    With ``fixed`` given, BatchNorm layers normalise by the statistics of that many samples.
    """

    def __init__(self, model, x, y, loss="cross_entropy", patterns=("*",), fixed=0):
        self.fixed = fixed
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
        model = copy.deepcopy(self.model)  # a copy: ties may be lost in the call
        if not self.fixed:
            with sdpa_kernel(SDPBackend.MATH):  # the others have no second derivative
                return functional_call(model, pieces, (self.x,))
        with mock.patch("torch.nn.functional.batch_norm", functools.partial(_normalise, self.fixed)):
            return functional_call(model, pieces, (torch.cat([self.x[: self.fixed], self.x]),))[self.fixed :]

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
        """(P, P), by reverse mode twice: through LayerNorm, torch's forward over reverse is wrong (2.13)."""
        return torch.func.jacrev(torch.func.grad(self.value))(self.theta).detach()

    def products_by_differences(self, V_KP):
        """(K, P) products with the Hessian, by central differences of the gradient, good to about 1e-8."""
        gradient = torch.func.grad(self.value)
        rows = []
        for e in V_KP:
            step = 1e-4 / float(e.norm())
            wide, narrow = (
                (gradient(self.theta + h * e) - gradient(self.theta - h * e)) / (2 * h) for h in (2 * step, step)
            )
            rows.append((4 * narrow - wide) / 3)
        return torch.stack(rows).detach()

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

    def slopes(self):
        """∂ℓ/∂z, (N, C)."""
        z = self.logits(self.theta).detach()
        return torch.func.grad(lambda z: self.loss(z, self.y).sum())(z)

    def residual(self):
        """(P, P): slopes times second derivatives of every logit."""
        slopes = self.slopes()
        weighted = lambda theta: (slopes * self.logits(theta)).sum() / len(self.x)  # noqa: E731
        return torch.func.jacrev(torch.func.grad(weighted))(self.theta).detach()

    def fisher(self, labels="model", seed=0):
        """(P, P): sums of outer products of one gradient a sample, or one a sample and label."""
        z = self.logits(self.theta).detach()
        J, p, one_hot = self.jacobian(), z.softmax(1), torch.eye(z.shape[1]).double()
        if labels == "model" and self.loss is naive_mse:
            pairs = [(0.5, 2 * e.expand(z.shape)) for e in one_hot]
        elif labels == "model":
            pairs = [(p[:, k], p - one_hot[k]) for k in range(z.shape[1])]
        elif labels == "data":
            pairs = [(1.0, self.slopes())]
        else:
            draws = np.random.Generator(np.random.Philox(key=seed))
            if self.loss is naive_mse:
                u = draws.random((*z.shape, 2))
                noise = np.sqrt(-2 * np.log1p(-u[..., 0])) * np.cos(2 * np.pi * u[..., 1])
                pairs = [(1.0, -2 * torch.tensor(noise) / 2**0.5)]
            else:
                u = draws.random(len(z))
                drawn = [next(k for k, edge in enumerate(q.cumsum(0)) if edge > t) for q, t in zip(p, u, strict=True)]
                pairs = [(1.0, p - one_hot[drawn])]
        total = torch.zeros(len(self.theta), len(self.theta)).double()
        for weights, slopes in pairs:
            g = torch.einsum("nkp,nk->np", J, slopes)
            total += g.T @ (torch.as_tensor(weights).double().expand(len(z))[:, None] * g)
        return total / len(z)


def _normalise(fixed, x, mean, var, weight=None, bias=None, training=False, momentum=0.1, eps=1e-5):
    """BatchNorm of the rows of x by the first ``fixed`` samples' statistics; the second half of x are all samples."""
    rows = x.movedim(1, -1)
    head = rows[:fixed].reshape(-1, rows.shape[-1])
    centre = head.sum(0) / len(head)
    spread = ((head - centre) ** 2).sum(0) / len(head)
    out = (rows - centre) * (spread + eps) ** -0.5
    if weight is not None:
        out = out * weight + bias
    return out.movedim(-1, 1)


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
