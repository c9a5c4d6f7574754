"""Every method of product against double backward and the dense matrices."""

from __future__ import annotations

import pickle

import pytest
import torch
from torch import nn

import distlandscape as dl
from distlandscape.curvature import fisher_products, gauss_newton_products, hessian_products, residual_products
from distlandscape.curvature.forward import require_forward_mode
from distlandscape.curvature.graph import held_bytes
from distlandscape.objective import Batch
from tests.curvature.nets import C, make
from tests.helpers import Dense, heavy_tailed, relative, samples

PRODUCTS = {
    "hessian": (hessian_products, (), Dense.hessian),
    "residual": (residual_products, (), Dense.residual),
    "gauss_newton": (gauss_newton_products, (), Dense.gauss_newton),
    "fisher model": (fisher_products, ("model", 0), Dense.fisher),
    "fisher data": (fisher_products, ("data", 0), lambda d: d.fisher("data")),
    "fisher sampled": (fisher_products, ("sampled", 5), lambda d: d.fisher("sampled", 5)),
}
FORWARD = ["mlp", "cnn", "batch_norm", "attention", "encoder"]  # the others lack forward derivatives


def setting(name, dtype=torch.float64, norm="population", **options):
    model, shape, some = make(name)
    x, y = samples(shape, C, n=13)
    objective = dl.Objective(model, (x, y), parameters=some, dtype=dtype, norm=norm, norm_samples=5, **options)
    wildcards = [w for p in some for w in (p, f"{p}.*")]
    return (
        objective,
        Batch(*objective.tensors(x, y, torch.device("cpu")), 0),
        lambda: Dense(model, x, y, **_oracle(options, wildcards, norm)),
    )


def _oracle(options, wildcards, norm):
    return {"loss": options.get("loss", "cross_entropy"), "patterns": wildcards, "fixed": 5 if norm == "batch" else 0}


@pytest.mark.parametrize("kind", PRODUCTS)
@pytest.mark.parametrize(("name", "norm"), [*((name, "population") for name in FORWARD), ("batch_norm", "batch")])
def test_forward_mode_equals_double_backward(kind, name, norm):
    """And that equals dense matrices, in the tests of every operator."""
    objective, batch, _ = setting(name, norm=norm)
    product, arguments, _ = PRODUCTS[kind]
    V_KP = torch.randn(3, objective.parameters, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    (exact,) = product(objective, batch, V_KP, *arguments)
    assert relative(product.forward(objective, batch, V_KP, *arguments)[0], exact) < 1e-12
    require_forward_mode(objective, product, *arguments)


@pytest.mark.parametrize("kind", PRODUCTS)
def test_forward_mode_equals_the_dense_matrix(kind):
    objective, batch, oracle = setting("cnn")
    product, arguments, dense = PRODUCTS[kind]
    eye = torch.eye(objective.parameters, dtype=torch.float64)
    assert relative(product.forward(objective, batch, eye, *arguments)[0] / 13, dense(oracle())) < 1e-9


@pytest.mark.parametrize("kind", ["hessian", "residual", "gauss_newton"])
@pytest.mark.parametrize("loss", ["mse", heavy_tailed])
def test_forward_mode_of_other_losses(kind, loss):
    objective, batch, oracle = setting("mlp", loss=loss)
    product, _, dense = PRODUCTS[kind]
    eye = torch.eye(objective.parameters, dtype=torch.float64)
    assert relative(product.forward(objective, batch, eye)[0] / 13, dense(oracle())) < 1e-9


class ReverseOnly(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    def backward(ctx, g):
        return 3 * ctx.saved_tensors[0] ** 2 * g


class Cube(nn.Module):
    def forward(self, x):
        return ReverseOnly.apply(x)


class WrongForward(ReverseOnly):
    """Forward derivatives 3 % too large, as those of a library may be."""

    @staticmethod
    def jvp(ctx, t):
        return 1.03 * 3 * ctx.x**2 * t

    @staticmethod
    def forward(ctx, x):
        ctx.x = x
        return ReverseOnly.forward(ctx, x)


class WrongCube(nn.Module):
    def forward(self, x):
        return WrongForward.apply(x)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("product", [hessian_products, gauss_newton_products])
def test_a_net_whose_forward_derivatives_are_wrong_is_refused(product, dtype):
    objective = dl.Objective(nn.Sequential(nn.Linear(4, C), WrongCube()), samples((4,), C), dtype=dtype)
    with pytest.raises(
        dl.InputError, match=r"by \S+e-0\d for this model.*choose product 'kept' instead of 'forward_over"
    ):
        require_forward_mode(objective, product)


def test_a_net_without_forward_derivatives_is_refused():
    """A function of the user's, and torch's own SiLU and GroupNorm."""
    x, y = samples((4,), C)
    own = dl.Objective(nn.Sequential(nn.Linear(4, C), Cube()), (x, y), dtype=torch.float64)
    for product in (hessian_products, gauss_newton_products):
        with pytest.raises(dl.InputError, match="without forward derivatives"):
            require_forward_mode(own, product)
    for name in ("layer_norm", "group_norm"):
        with pytest.raises(dl.InputError, match=r"without forward derivatives .*_backward"):
            require_forward_mode(setting(name)[0], hessian_products)


@pytest.mark.parametrize("kind", PRODUCTS)
def test_a_kept_linearisation_gives_the_bits_of_a_fresh_one(kind):
    """Whatever the vectors before, alone or together."""
    product, arguments, _ = PRODUCTS[kind]
    for name in ("batch_norm", "attention"):
        objective, batch, _ = setting(name, torch.float32)
        V_KP = torch.randn(4, objective.parameters, generator=torch.Generator().manual_seed(0))
        linear = product.linearise(objective, batch)
        together = linear(V_KP, *arguments)[0].clone()
        for k in (2, 0, 3, 1, 2):
            assert torch.equal(linear(V_KP[k : k + 1], *arguments)[0][0], together[k])
        assert torch.equal(product(objective, batch, V_KP, *arguments)[0], together)


def test_products_travel_by_name_and_are_recognised():
    for product, _, _ in PRODUCTS.values():
        arrived = pickle.loads(pickle.dumps(product))  # noqa: S301
        assert arrived == product
        assert hash(arrived) == hash(product)
    assert len({hessian_products, residual_products, gauss_newton_products, fisher_products}) == 4


def test_nothing_that_depends_on_theta_is_zero_by_every_method():
    x, y = samples((4,), C)
    model = nn.Sequential(nn.Linear(4, C), nn.Linear(C, C))
    for loss in (lambda z, y: z.square().sum(1) * 0, lambda z, y: z.sum(1) * 0 + 1.0):
        objective = dl.Objective(model, (x, y), loss, dtype=torch.float64)
        batch = Batch(*objective.tensors(x, y, torch.device("cpu")), 0)
        V_KP = torch.ones(2, objective.parameters, dtype=torch.float64)
        for product in (hessian_products, residual_products, gauss_newton_products):
            assert torch.count_nonzero(product(objective, batch, V_KP)[0]) == 0
            assert torch.count_nonzero(product.forward(objective, batch, V_KP)[0]) == 0


def test_bytes_of_a_graph():
    """Storages count once, whatever views of them are saved, and leaves not at all."""
    leaf = torch.ones(10, dtype=torch.float64, requires_grad=True)
    hidden = leaf.exp()  # saves its result: 80 bytes, which the product below saves again
    product = hidden * hidden.view(2, 5).reshape(10)
    assert held_bytes([product]) == 160  # and the root itself
    assert held_bytes([product, product]) == 160
    assert held_bytes([leaf * leaf]) == 80
