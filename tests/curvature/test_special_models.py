"""Models and losses at the edge: linear, with unused or tied parameters, constant; and the exact identities."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import distlandscape as dl
from distlandscape.models import build_model
from tests.helpers import Dense, bias_free, relative, samples

C, D = 4, 5


def matrix(operator, model, x, y, loss="cross_entropy", **options):
    H = operator(dl.Objective(model, (x, y), loss, dtype=torch.float64, **options))
    return H.apply(torch.eye(H.shape[0]))


@pytest.fixture
def data():
    return samples((D,), C)


def test_softmax_regression_in_closed_form(data):
    x, y = data
    model = bias_free(D, C)
    p = model(torch.tensor(x)).detach().softmax(1)
    A = torch.diag_embed(p) - p[:, :, None] * p[:, None, :]
    X = torch.tensor(x)
    exact = torch.einsum("nij,na,nb->iajb", A, X, X).reshape(C * D, C * D) / len(x)
    assert relative(matrix(dl.Hessian, model, x, y), exact) < 1e-13
    assert relative(matrix(dl.GaussNewton, model, x, y), exact) < 1e-13


def test_softmax_regression_at_zero(data):
    x, y = data
    model = bias_free(D, C)
    nn.init.zeros_(model[1].weight)
    second_moment = torch.tensor(x.T @ x / len(x))
    expected = torch.linalg.eigvalsh(second_moment).repeat_interleave(C - 1) / C
    eigenvalues = torch.linalg.eigvalsh(matrix(dl.Hessian, model, x, y))
    assert eigenvalues[:D].abs().max() < 1e-14
    assert torch.allclose(eigenvalues[D:], expected, rtol=1e-12, atol=0)


class PartlyUsed(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.idle = nn.Linear(2, 3)
        self.used = nn.Linear(D, C)
        self.idler = nn.Parameter(torch.ones(2))

    def forward(self, x):
        return self.used(x).tanh()


@pytest.mark.parametrize("operator", [dl.Hessian, dl.GaussNewton])
def test_unused_parameters_have_zero_rows(operator, data):
    model = PartlyUsed()
    oracle = Dense(model, *data, patterns=["used.*"])
    exact = oracle.hessian() if operator is dl.Hessian else oracle.gauss_newton()
    whole = matrix(operator, model, *data)
    used = slice(2, 2 + exact.shape[0])  # the parameter itself comes before those of the layers
    names = [name for name, _ in model.named_parameters()]
    start = sum(p.numel() for name, p in model.named_parameters() if names.index(name) < names.index("used.weight"))
    used = slice(start, start + exact.shape[0])
    assert relative(whole[used, used], exact) < 1e-12
    rest = whole.clone()
    rest[used, used] = 0
    assert torch.count_nonzero(rest) == 0


@pytest.mark.parametrize("operator", [dl.Hessian, dl.GaussNewton])
def test_nothing_that_depends_on_the_parameters_gives_zero(operator, data):
    assert torch.count_nonzero(matrix(operator, PartlyUsed(), *data, parameters=["idle*"])) == 0
    assert torch.count_nonzero(matrix(operator, PartlyUsed(), *data, loss=lambda z, y: 0 * z.sum(1))) == 0
    gradient = dl.gradient(dl.Objective(PartlyUsed(), data, parameters=["idle*"]))
    assert torch.count_nonzero(gradient) == 0


def test_loss_linear_in_the_parameters(data):
    model = bias_free(D, C)
    linear = lambda z, y: z.gather(1, y[:, None])[:, 0]  # noqa: E731
    for operator in (dl.Hessian, dl.GaussNewton):
        assert torch.count_nonzero(matrix(operator, model, *data, loss=linear)) == 0
    # A net of two layers has curvature under the same loss, all of it in the residual term.
    deep = bias_free(D, 3, C, activation=nn.Tanh)
    assert torch.count_nonzero(matrix(dl.GaussNewton, deep, *data, loss=linear)) == 0
    assert relative(matrix(dl.Hessian, deep, *data, loss=linear), Dense(deep, *data, linear).hessian()) < 1e-12


class Tied(nn.Module):
    """The same matrix on the way in and out."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.into = nn.Linear(D, 3, bias=False)
        self.out = nn.Linear(3, D, bias=False)
        self.out.weight = nn.Parameter(torch.randn(D, 3))
        self.again = self.into
        self.twice = nn.Linear(D, 3, bias=False)
        self.twice.weight = self.into.weight

    def forward(self, x):
        return self.twice(self.out(self.into(x).tanh()).tanh())


def test_tied_weights_count_once_and_feel_every_use():
    x, y = samples((D,), 3)
    model = Tied()
    objective = dl.Objective(model, (x, y), dtype=torch.float64)
    assert objective.parameters == 2 * D * 3
    oracle = Dense(model, x, y)
    assert relative(dl.gradient(objective), oracle.gradient()) < 1e-12
    assert relative(matrix(dl.Hessian, model, x, y), oracle.hessian()) < 1e-10
    assert relative(matrix(dl.GaussNewton, model, x, y), oracle.gauss_newton()) < 1e-10


def conv_bias_free():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 3, 3, padding=1, bias=False),
        nn.ReLU(),
        nn.Conv2d(3, 4, 3, stride=2, bias=False),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(16, C, bias=False),
    ).double()


@pytest.mark.parametrize("loss", ["cross_entropy", "mse"])
@pytest.mark.parametrize(
    ("make", "shape", "depth"),
    [
        (lambda: bias_free(D, 6, C), (D,), 2),
        (lambda: bias_free(D, 6, 5, 7, C), (D,), 4),
        (conv_bias_free, (1, 5, 5), 3),
    ],
)
def test_homogeneous_nets(make, shape, depth, loss):
    """Bias-free ReLU net of depth L: Jθ = L z and Hθ = Gθ + (L − 1) g."""
    x, y = samples(shape, C)
    model = make()
    objective = dl.Objective(model, (x, y), loss)
    theta, g = objective.theta, dl.gradient(objective)
    oracle = Dense(model, x, y, loss)
    _, Jtheta = torch.func.jvp(oracle.logits, (theta,), (theta,))
    assert relative(Jtheta, depth * oracle.logits(theta)) < 1e-12
    H_theta, G_theta = dl.Hessian(objective) @ theta, dl.GaussNewton(objective) @ theta
    assert relative(H_theta, G_theta + (depth - 1) * g) < 1e-11
    assert relative(H_theta, G_theta) > 1e-2  # the residual term is there


@pytest.mark.parametrize("name", ["mlp", "cnn"])
def test_residual_term_of_relu_nets_has_no_trace(name):
    shape = (1, 4, 4)
    x, y = samples(shape, C)
    options = {"hidden": [6, 5]} if name == "mlp" else {"channels": [3, 4]}
    for activation, traceless in (("relu", True), ("tanh", False)):
        model = build_model(name, shape, C, {**options, "activation": activation}, seed=3)
        H, G = (matrix(operator, model, x, y) for operator in (dl.Hessian, dl.GaussNewton))
        assert relative(H, G) > 1e-2
        gap = abs(float(H.trace() - G.trace())) / float(G.trace())
        assert (gap < 1e-12) == traceless


class Bend(nn.Module):
    """Convolution, BatchNorm, activation, and a linear layer."""

    def __init__(self, activation):
        super().__init__()
        torch.manual_seed(1)
        self.conv, self.norm = nn.Conv2d(1, 3, 3, bias=False), nn.BatchNorm2d(3, eps=1e-12)
        self.norm.running_mean.normal_(std=0.2)
        self.norm.running_var.uniform_(0.5, 2)
        self.activation, self.last = activation, nn.Linear(12, C)

    def forward(self, x):
        return self.last(self.activation(self.norm(self.conv(x))).flatten(1))


@pytest.mark.parametrize(
    ("activation", "norm", "traceless"),
    [(nn.ReLU(), "population", True), (nn.Tanh(), "population", False), (nn.ReLU(), "batch", False)],
)
def test_residual_term_has_no_trace_where_batch_norm_is_linear(activation, norm, traceless):
    x, y = samples((1, 4, 4), C)
    R, G = (matrix(kind, Bend(activation), x, y, norm=norm) for kind in (dl.Residual, dl.GaussNewton))
    assert R.norm() > 1e-2 * G.norm()
    assert (abs(float(R.trace())) < 1e-12 * float(G.trace())) == traceless


@pytest.mark.parametrize("kind", ["batch statistics", "layer norm"])
def test_weights_in_front_of_a_normalisation_have_no_scale(kind):
    """Scale-invariant weights w: w·g = 0 and, within their block, Hw = −g."""
    if kind == "batch statistics":
        objective = dl.Objective(
            Bend(nn.Tanh()), samples((1, 4, 4), C), norm="batch", parameters=["conv"], dtype=torch.float64
        )
    else:
        torch.manual_seed(1)
        layers = [nn.Linear(D, 6), nn.LayerNorm(6, eps=1e-12), nn.Tanh(), nn.Linear(6, C)]
        net = nn.Sequential(*layers)
        objective = dl.Objective(net, samples((D,), C), parameters=["0"], dtype=torch.float64)
    w, g = objective.theta, dl.gradient(objective)
    assert abs(float(w @ g)) < 1e-11 * float(w.norm() * g.norm())
    assert relative(dl.Hessian(objective) @ w, -g) < 1e-9


def test_deep_linear_net_at_its_balanced_minimum():
    """Two layers, whitened inputs: the non-zero eigenvalues of the Hessian of ½|·|² are s_i + s_j."""
    rng = np.random.default_rng(0)
    n, rank, outputs = 6, 3, 4
    x = np.linalg.qr(rng.standard_normal((40, n)))[0] * np.sqrt(40)  # (1/N) Σ x xᵀ = I
    U, V = (np.linalg.qr(rng.standard_normal((k, rank)))[0] for k in (outputs, n))
    s = np.array([2.0, 1.0, 0.3])
    net = bias_free(n, rank, outputs, activation=nn.Identity)
    with torch.no_grad():
        net[1].weight.copy_(torch.tensor((np.sqrt(s) * V).T))
        net[3].weight.copy_(torch.tensor(U * np.sqrt(s)))
    targets = x @ V @ np.diag(s) @ U.T
    assert float(dl.gradient(dl.Objective(net, (x, targets), "mse")).norm()) < 1e-13
    eigenvalues = torch.linalg.eigvalsh(matrix(dl.Hessian, net, x, targets, loss="mse") / 2)
    # s_i + s_j for every pair of the rank's modes; modes the targets lack stand for s_j = 0: s_i once for each of the
    # n − rank inputs and the outputs − rank outputs.
    expected = np.sort(np.concatenate([(s[:, None] + s).ravel(), np.tile(s, n - rank + outputs - rank)]))
    assert np.allclose(eigenvalues[-len(expected) :], expected, atol=1e-12)
    assert eigenvalues[: -len(expected)].abs().max() < 1e-12


def test_rescaling_layers_of_a_relu_net(data):
    """α and 1/α on two layers leave the function and turn H into D⁻¹HD⁻¹."""
    model, scaled = bias_free(D, 6, C), bias_free(D, 6, C)
    with torch.no_grad():
        scaled[1].weight *= 4
        scaled[3].weight /= 4
    H, H_scaled = (matrix(dl.Hessian, m, *data) for m in (model, scaled))
    inverse = torch.cat([torch.ones(6 * D) / 4, torch.ones(C * 6) * 4]).double()
    assert relative(H_scaled, inverse[:, None] * H * inverse) < 1e-12
