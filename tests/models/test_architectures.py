"""The larger networks: published sizes, shapes, and two derivatives."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.func import functional_call

from distlandscape.models import build_model
from distlandscape.models.lookup import ZOO
from distlandscape.models.residual import Subsample, cifar_resnet, wide_resnet
from distlandscape.models.transformer import Attention
from tests.helpers import relative


def count(model):
    return sum(p.numel() for p in model.parameters())


def basic_stages(channels, blocks, project):
    """Parameters of stages of two 3×3 convolutions with BatchNorm, by the layer list."""
    total, planes = 0, channels[0]
    for out in channels:
        for block in range(blocks):
            total += 9 * planes * out + 9 * out * out + 4 * out
            if block == 0 and planes != out and project:
                total += planes * out + 2 * out
            planes = out
    return total


@pytest.mark.parametrize(
    ("depth", "published", "exact"),
    [(20, 0.27, 269_722), (32, 0.46, 464_154), (56, 0.85, 853_018), (110, 1.7, 1_727_962)],
)
@pytest.mark.parametrize("shortcut", ["A", "B"])
def test_cifar_resnets(depth, published, exact, shortcut):
    with torch.device("meta"):
        model = build_model(f"resnet{depth}", (3, 32, 32), 10, {"shortcut": shortcut}, seed=0)
    stages = basic_stages((16, 32, 64), (depth - 2) // 6, shortcut == "B")
    assert count(model) == 27 * 16 + 2 * 16 + stages + 640 + 10
    if shortcut == "A":
        assert count(model) == exact
        assert round(exact / 1e6, 1 if depth == 110 else 2) == published
    assert sum(isinstance(m, (nn.Conv2d, nn.Linear)) and m.weight.shape[-1] != 1 for m in model.modules()) == depth


def count_wide(depth, width):
    """Parameters of WRN-depth-width by the layer list: BatchNorm stands in front of each convolution."""
    total, planes = 27 * 16, 16
    for out in (16 * width, 32 * width, 64 * width):
        for block in range((depth - 4) // 6):
            total += 2 * planes + 9 * planes * out + 2 * out + 9 * out * out
            total += 0 if block else planes * out
            planes = out
    return total + 2 * planes + 10 * planes + 10


def test_resnet18_and_wide_resnets():
    with torch.device("meta"):
        assert count(build_model("resnet18", (3, 32, 32), 10, {}, seed=0)) == 11_173_962
        for depth, width, published in [(28, 10, 36.5), (16, 4, 2.7), (40, 4, 8.9), (16, 8, 11.0)]:
            model = wide_resnet((3, 32, 32), 10, depth, width)
            assert count(model) == count_wide(depth, width)
            assert round(count(model) / 1e6, 1) == published
        assert (
            count(cifar_resnet((3, 32, 32), 10, 20, width=2)) == 27 * 32 + 64 + basic_stages((32, 64, 128), 3, 0) + 1290
        )
    stages = basic_stages((64, 128, 256, 512), 2, True)
    assert 27 * 64 + 128 + stages + 5130 == 11_173_962


def test_vit_and_lenet():
    model = build_model("vit", (1, 28, 28), 10, {}, seed=0)
    block = 4 * 64 * 64 + 4 * 64 + 2 * 2 * 64 * 64 + 3 * 64 + 4 * 64
    assert count(model) == 16 * 64 + 64 + 49 * 64 + 4 * block + 2 * 64 + 650
    token = build_model("vit", (1, 28, 28), 10, {"pool": "token"}, seed=0)
    assert count(token) == count(model) + 2 * 64
    assert count(build_model("lenet", (1, 28, 28), 10, {}, seed=0)) == 61_706
    assert count(build_model("lenet", (1, 32, 32), 10, {}, seed=0)) == 61_706


SMALL = {
    "lenet": ((1, 12, 12), {}),
    "resnet20": ((1, 8, 8), {"width": 0.125, "activation": "tanh"}),
    "resnet32": ((3, 8, 8), {"width": 0.125, "norm": "group", "shortcut": "B", "activation": "gelu"}),
    "resnet56": ((1, 4, 4), {"width": 0.0625, "norm": "layer", "activation": "tanh"}),
    "resnet110": ((3, 4, 4), {"width": 0.0625, "activation": "tanh"}),
    "wide_resnet": ((3, 8, 8), {"depth": 10, "width": 0.125, "activation": "tanh"}),
    "resnet18": ((1, 8, 8), {"width": 0.03125, "norm": "none", "activation": "tanh"}),
    "vit": ((1, 8, 8), {"patch": 2, "dim": 8, "depth": 2, "heads": 2}),
    "mlp": ((1, 8, 8), {"hidden": [6], "activation": "tanh", "norm": "layer"}),
    "cnn": ((3, 8, 8), {"channels": [3], "activation": "gelu", "norm": "batch"}),
}


def test_every_network_is_differentiated_twice():
    assert set(SMALL) == set(ZOO)


TOKEN = {"patch": 2, "dim": 8, "depth": 1, "heads": 4, "mlp_ratio": 1, "pool": "token"}


@pytest.mark.parametrize(
    ("name", "shape", "options"), [(name, *case) for name, case in SMALL.items()] + [("vit", (3, 4, 6), TOKEN)]
)
def test_two_derivatives(name, shape, options):
    """A product by double backward is the difference quotient of gradients, and symmetric; buffers stay."""
    model = build_model(name, shape, 3, options, seed=0).double().eval()
    for norm in model.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.running_mean.uniform_(-0.3, 0.3)
            norm.running_var.uniform_(0.5, 2)
    before = {key: buffer.clone() for key, buffer in model.named_buffers()}
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(6, *shape, generator=generator, dtype=torch.float64), torch.arange(6) % 3
    named = {key: parameter.detach() for key, parameter in model.named_parameters()}
    sizes = [value.numel() for value in named.values()]

    def gradient(theta):
        theta = theta.detach().requires_grad_(True)
        pieces = [piece.view(value.shape) for piece, value in zip(theta.split(sizes), named.values(), strict=True)]
        z = functional_call(model, dict(zip(named, pieces, strict=True)), (x,))
        (slope,) = torch.autograd.grad(nn.functional.cross_entropy(z, y), theta, create_graph=True)
        return theta, slope

    theta = torch.cat([value.flatten() for value in named.values()])
    u, v = torch.randn(2, len(theta), generator=generator, dtype=torch.float64)
    u, v = u / u.norm(), v / v.norm()
    leaf, slope = gradient(theta)
    Hu, Hv = (torch.autograd.grad(slope, leaf, w, retain_graph=True)[0] for w in (u, v))
    assert float(u @ Hv) == pytest.approx(float(v @ Hu), rel=1e-8, abs=1e-12 * float(Hv.norm()))
    step = 1e-5
    ends = [gradient(theta + sign * step * v)[1].detach() for sign in (1, -1)]
    assert relative((ends[0] - ends[1]) / (2 * step), Hv) < 1e-5
    assert all(torch.equal(buffer, before[key]) for key, buffer in model.named_buffers())


@pytest.mark.parametrize("name", ["lenet", "resnet20", "resnet18", "wide_resnet", "vit"])
@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32)])
def test_usual_images(name, shape):
    options = {"wide_resnet": {"width": 1}, "resnet18": {"width": 0.125}}.get(name, {})
    model = build_model(name, shape, 10, options, seed=0).eval()
    z = model(torch.randn(2, *shape, generator=torch.Generator().manual_seed(0)))
    assert z.shape == (2, 10)
    assert torch.isfinite(z).all()


def test_residual_shortcut_without_parameters():
    x = torch.arange(2 * 2 * 4 * 4.0).view(2, 2, 4, 4)
    out = Subsample(2, 3)(x)
    assert out.shape == (2, 5, 2, 2)
    assert torch.equal(out[:, 1:3], x[:, :, ::2, ::2])
    assert torch.count_nonzero(out[:, [0, 3, 4]]) == 0


def test_attention_equals_torchs():
    """Our attention with torch's weights gives torch's output."""
    torch.manual_seed(0)
    ours, theirs = Attention(8, 2).double(), nn.MultiheadAttention(8, 2, batch_first=True).double()
    theirs.in_proj_weight.data, theirs.in_proj_bias.data = ours.inward.weight.data, ours.inward.bias.data
    theirs.out_proj.weight.data, theirs.out_proj.bias.data = ours.outward.weight.data, ours.outward.bias.data
    x = torch.randn(3, 5, 8, dtype=torch.float64)
    assert relative(ours(x), theirs(x, x, x)[0]) < 1e-12


def test_convolutions_are_initialised_by_what_goes_out():
    model = build_model("resnet20", (3, 32, 32), 10, {}, seed=0)
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            expected = math.sqrt(2 / (9 * module.out_channels))
            assert float(module.weight.detach().std()) == pytest.approx(expected, rel=0.15)
