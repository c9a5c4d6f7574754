"""Convolution and BatchNorm with fast second derivatives equal torch's own, in every form of the call."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

import distlandscape as dl
from distlandscape.curvature import gauss_newton_products, hessian_products
from distlandscape.curvature.kernels import SecondOrderKernels
from distlandscape.objective import Batch
from tests.helpers import Dense, relative, samples


def tensors(*shapes, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator, dtype=torch.float64, requires_grad=True) for shape in shapes]


def derivatives(function, inputs, seed=1):
    """Value, first derivatives, and those of their product with fixed numbers; zeros where nothing depends."""
    out = function(*inputs)
    g, *directions = tensors(out.shape, *[t.shape for t in inputs], seed=seed)
    first = torch.autograd.grad(out, inputs, g, create_graph=True)
    scalar = sum((a * b).sum() for a, b in zip(first, directions, strict=True))
    second = torch.autograd.grad(scalar, [g, *inputs], allow_unused=True, materialize_grads=True)
    return [out, *first, *second]


def same(function, inputs):
    plain = derivatives(function, inputs)
    with SecondOrderKernels():
        ours = derivatives(function, inputs)
    for a, b in zip(ours, plain, strict=True):
        assert torch.allclose(a, b, rtol=1e-11, atol=1e-11)
    return type(ours[0].grad_fn).__name__


@settings(max_examples=30, deadline=None)
@given(
    st.integers(1, 3),
    st.integers(1, 2),
    st.integers(0, 2),
    st.integers(1, 2),
    st.sampled_from([1, 2]),
    st.booleans(),
    st.integers(1, 3),
)
def test_convolutions(kernel, stride, padding, dilation, groups, bias, n):
    x, weight, b = tensors((n, 2, 6, 5), (4, 2 // groups, kernel, min(kernel, 2)), (4,))
    given = [x, weight, b] if bias else [x, weight]
    name = same(lambda *t: F.conv2d(*t, stride=stride, padding=padding, dilation=dilation, groups=groups), given)
    assert name == "_ConvolutionBackward"


def test_convolutions_of_other_dimensions_and_settings_by_side():
    x, w = tensors((2, 3, 7), (2, 3, 3))
    assert same(lambda x, w: F.conv1d(x, w, stride=2), [x, w]) == "_ConvolutionBackward"
    x, w = tensors((2, 1, 4, 5, 3), (2, 1, 2, 3, 1))
    assert same(lambda x, w: F.conv3d(x, w, padding=(1, 0, 2), stride=[1, 2, 1]), [x, w]) == "_ConvolutionBackward"


def test_forms_that_are_left_to_torch():
    x, w = tensors((2, 3, 7), (2, 3, 3))
    assert same(lambda x, w: F.conv1d(x, w, padding="same"), [x, w]) == "ConvolutionBackward0"
    single, weight = tensors((2, 5, 5), (3, 2, 2, 2))
    assert same(F.conv2d, [single, weight]) == "SqueezeBackward1"  # torch adds and takes away the batch
    with SecondOrderKernels(), torch.no_grad():
        assert F.conv1d(x, w).grad_fn is None
    with SecondOrderKernels():
        by_sample = torch.func.vmap(lambda row: F.conv1d(row[None], w)[0])(x)
    assert torch.allclose(by_sample, F.conv1d(x, w))


@pytest.mark.parametrize("shape", [(5, 3), (4, 3, 6), (2, 3, 4, 5)])
def test_batch_norm(shape):
    x, w, b, mean = tensors(shape, (3,), (3,), (3,))
    mean, var = mean.detach(), torch.tensor([0.3, 1.0, 2.5]).double()
    norm = lambda x, w, b: F.batch_norm(x, mean, var, w, b, False, 0.1, 0.2)  # noqa: E731
    assert same(norm, [x, w, b]) == "_StoredNormBackward"
    assert same(lambda x: F.batch_norm(x, mean, var), [x]) != "_StoredNormBackward"


class Composed(nn.Module):
    """Convolutions with and without normalisation in front of and behind each other."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second = nn.Conv2d(1, 2, 3, padding=1), nn.Conv2d(2, 2, 2, stride=2, groups=2, bias=False)
        self.norm, self.last = nn.BatchNorm2d(2), nn.Linear(8, 3)
        self.norm.running_mean.normal_()

    def forward(self, x):
        return self.last(self.norm(self.second(self.first(x).tanh())).sigmoid().flatten(1))


PATTERNS = (["first.weight"], ["first.bias", "norm.weight"], ["second*"], ["norm.bias"])


@pytest.mark.parametrize("patterns", PATTERNS)
def test_nets_with_some_of_their_parameters(patterns):
    model, (x, y) = Composed(), samples((1, 4, 4), 3, n=7)
    objective = dl.Objective(model, (x, y), parameters=patterns, dtype=torch.float64)
    batch = Batch(*objective.tensors(x, y, torch.device("cpu")), 0)
    oracle = Dense(model, x, y, patterns=patterns)
    eye = torch.eye(objective.parameters, dtype=torch.float64)
    for products, exact in ((hessian_products, oracle.hessian()), (gauss_newton_products, oracle.gauss_newton())):
        linear = products.linearise(objective, batch)
        for _ in range(2):  # a kept one is used more than once
            assert relative(linear(eye)[0] / 7, exact) < 1e-10
