"""A model whose second derivative is missing is told which operation lacks it."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import distlandscape as dl
from tests.helpers import samples
from tests.models.factories import Sign


class Binary(nn.Linear):
    def forward(self, x):
        return Sign.apply(super().forward(x)).tanh()


class Fused(nn.Module):
    """Calls a fused kernel by name, so that no choice of backend can avoid it."""

    def __init__(self):
        super().__init__()
        self.into, self.last = nn.Linear(4, 8), nn.Linear(8, 3)

    def forward(self, x):
        q = self.into(x).view(len(x), 1, 1, 8).expand(-1, -1, 2, -1)
        out = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(q, q, q)[0]
        return self.last(out.mean((1, 2)))


@pytest.mark.parametrize("kind", [dl.Hessian, dl.Residual, dl.GaussNewton, dl.Fisher])
@pytest.mark.parametrize(
    ("model", "name"),
    [
        (nn.Sequential(Binary(4, 6), nn.Linear(6, 3)), "Sign"),
        (Fused(), "_scaled_dot_product_flash_attention_for_cpu_backward"),
    ],
)
def test_named(kind, model, name):
    objective = dl.Objective(model, samples((4,), 3))
    assert torch.isfinite(dl.gradient(objective)).all()
    with pytest.raises(dl.InputError, match=rf"uses {name}, which has no second derivative"):
        kind(objective)


def test_torch_alone_would_return_a_wrong_number():
    """Why the graph is searched: torch drops the path through such a function without a word."""
    torch.manual_seed(0)
    w = torch.randn(3, requires_grad=True)
    (slope,) = torch.autograd.grad(Sign.apply(w).tanh().sum() + (w**2).sum(), w, create_graph=True)
    (second,) = torch.autograd.grad(slope.sum(), w)
    assert torch.equal(second, torch.full((3,), 2.0))  # the term through Sign is missing


class Norm(nn.Linear):
    """A Euclidean norm that vanishes on the first sample."""

    def forward(self, x):
        return super().forward(x) * super().forward(x * 0).sub(self.bias).square().sum(1, keepdim=True).sqrt()


def test_derivatives_that_are_not_finite():
    objective = dl.Objective(Norm(4, 3), samples((4,), 3))
    with pytest.raises(dl.InputError, match="derivatives of the loss of the first samples are not finite"):
        dl.Hessian(objective)


def test_products_that_are_not_finite():
    """Only a late sample is at fault."""
    x, y = samples((4,), 3)
    x[30] = 0
    loss = lambda z, y: z.square().sum(1).sqrt()  # noqa: E731
    H = dl.Hessian(dl.Objective(nn.Linear(4, 3, bias=False), (x, y), loss))
    with pytest.raises(dl.InputError, match="a product with the operator is not finite"):
        H @ torch.ones(12)


def test_other_errors_keep_their_type_and_words():
    class Broken(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        def backward(ctx, slope):
            raise ArithmeticError("broken on purpose")

    class Net(nn.Linear):
        def forward(self, x):
            return Broken.apply(super().forward(x))

    objective = dl.Objective(Net(4, 3), samples((4,), 3))
    sentence = r"cannot be differentiated \(ArithmeticError: broken on purpose\)"
    with pytest.raises(dl.InputError, match=sentence) as caught:
        dl.Hessian(objective)
    assert isinstance(caught.value.__cause__, ArithmeticError)
