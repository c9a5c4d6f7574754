"""Networks by name and by import path: shapes, seeded weights, refusals."""

from __future__ import annotations

import sys
from itertools import pairwise

import pytest
import torch
from torch import nn

from distlandscape.errors import InputError
from distlandscape.models import build_model, cnn, lenet, mlp
from tests.models.factories import Layer

FACTORIES = "tests.models.factories"


@pytest.mark.parametrize("shape", [(7,), (3, 5), (1, 8, 8)])
@pytest.mark.parametrize("hidden", [[], [4], [4, 5, 6]])
@pytest.mark.parametrize("outputs", [1, 10])
def test_mlp_shapes(shape, hidden, outputs):
    model = mlp(shape, outputs, hidden)
    assert model(torch.randn(5, *shape)).shape == (5, outputs)
    widths = [torch.Size(shape).numel(), *hidden, outputs]
    assert [tuple(m.weight.shape) for m in model if isinstance(m, nn.Linear)] == [(b, a) for a, b in pairwise(widths)]


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 32, 32), (2, 5, 7), (1, 1, 1)])
@pytest.mark.parametrize("channels", [[], [4], [4, 6, 3]])
def test_cnn_shapes(shape, channels):
    model = cnn(shape, 10, channels)
    assert model(torch.randn(5, *shape)).shape == (5, 10)
    assert [m.out_channels for m in model if isinstance(m, nn.Conv2d)] == channels


@pytest.mark.parametrize(("activation", "kind"), [("relu", nn.ReLU), ("tanh", nn.Tanh), ("gelu", nn.GELU)])
@pytest.mark.parametrize("name", ["mlp", "cnn"])
def test_activations(name, activation, kind):
    model = build_model(name, (1, 8, 8), 3, {"activation": activation}, seed=0)
    assert sum(isinstance(m, kind) for m in model) == 2


@pytest.mark.parametrize("name", ["mlp", "cnn", f"{FACTORIES}:dropout_net"])
def test_seed_decides_the_weights_and_nothing_else_does(name):
    options = {"width": 64} if ":" in name else {}

    def state(seed):
        return build_model(name, (1, 8, 8), 3, options, seed).state_dict()

    torch.manual_seed(5)
    first = state(1)
    before = torch.get_rng_state()
    again, other = state(1), state(2)
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(first[k], again[k]) for k in first)
    assert any(not torch.equal(first[k], other[k]) for k in first)
    assert state(2**63 - 1).keys() == first.keys()


@pytest.mark.parametrize("norm", ["none", "batch"])
def test_small_networks_are_plain_sequences(norm):
    """Names, order and initial bits are those of torch's layers in a row."""
    torch.manual_seed(3)
    normal = (lambda width, kind: [kind(width)]) if norm == "batch" else lambda width, kind: []
    expected = {
        "mlp": nn.Sequential(
            nn.Flatten(), nn.Linear(48, 5), *normal(5, nn.BatchNorm1d), nn.ReLU(), nn.Linear(5, 4),
            *normal(4, nn.BatchNorm1d), nn.ReLU(), nn.Linear(4, 2),
        )
    }  # fmt: skip
    torch.manual_seed(3)
    expected["cnn"] = nn.Sequential(
        nn.Conv2d(3, 5, 3, 2, 1), *normal(5, nn.BatchNorm2d), nn.ReLU(), nn.Conv2d(5, 4, 3, 2, 1),
        *normal(4, nn.BatchNorm2d), nn.ReLU(), nn.Flatten(), nn.Linear(4, 2),
    )  # fmt: skip
    for name, twin in expected.items():
        options = {"hidden" if name == "mlp" else "channels": [5, 4], "norm": norm}
        model = build_model(name, (3, 4, 4), 2, options, seed=3)
        ours, theirs = model.state_dict(), twin.state_dict()
        assert list(ours) == list(theirs)
        assert all(torch.equal(ours[key], theirs[key]) for key in ours)


@pytest.mark.parametrize("name", ["mlp", "cnn"])
def test_layer_and_group_norm(name):
    """Behind "layer" every sample has mean 0 and variance 1, behind "group" so has every group."""
    widths = {"mlp": {"hidden": [16]}, "cnn": {"channels": [16]}}[name]
    x = torch.randn(3, 2, 4, 4, generator=torch.Generator().manual_seed(0))
    for norm, groups in (("layer", 1), ("group", 8)):
        model = build_model(name, (2, 4, 4), 3, {**widths, "norm": norm}, seed=0)
        until = next(i for i, module in enumerate(model) if isinstance(module, nn.GroupNorm)) + 1
        h = model[:until](x).detach().reshape(3, groups, -1)
        assert float(h.mean(-1).abs().max()) < 1e-5
        assert float(h.var(-1, unbiased=False).max()) < 1.001


def test_the_random_state_is_left_alone_by_a_factory_that_fails():
    before = torch.get_rng_state()
    with pytest.raises(InputError):
        build_model(f"{FACTORIES}:fails", (16,), 3, {}, seed=1)
    assert torch.equal(torch.get_rng_state(), before)


def test_import_path_gets_the_options_alone():
    model = build_model(f"{FACTORIES}:linear", (99,), 99, {"width": 4, "outputs": 2}, seed=0)
    assert model(torch.ones(1, 4)).shape == (1, 2)
    assert isinstance(build_model("torch.nn:Linear", (9,), 9, {"in_features": 2, "out_features": 3}, 0), nn.Linear)


def test_options_of_an_import_path_are_passed_as_they_are():
    options = {"weights": None, "num_classes": 10, "model_name": "a", "deep": {"list": [1, 2.5]}, "input_shape": 3}
    assert build_model(f"{FACTORIES}:echo", (1,), 2, options, seed=0).options == options


def test_import_path_into_a_class():
    model = build_model(f"{FACTORIES}:Layer.plain", (1,), 2, {"outputs": 5}, seed=0)
    assert isinstance(model, Layer)
    assert model.out_features == 5


@pytest.mark.parametrize("package", ["torchvision", "timm", "transformers"])
def test_packages_of_the_extra_are_named_when_they_are_missing(monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(InputError, match=rf"pip install {package}, or all of .*distlandscape\[models\]"):
        build_model(f"{package}:create", (1,), 2, {}, seed=0)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("resnet9000", {}, "unknown model.name 'resnet9000'; known: cnn, lenet, mlp, resnet110"),
        ("", {}, "known: cnn, lenet, mlp"),
        ("mlp", {"depth": 3}, "no option 'depth'; known in model.options: hidden, activation, norm"),
        ("mlp", {"outputs": 3}, "no option 'outputs'"),
        ("mlp", {"input_shape": [3]}, "no option 'input_shape'"),
        ("mlp", {"hidden": [0]}, "positive whole numbers"),
        ("mlp", {"hidden": [-4]}, "positive whole numbers"),
        ("mlp", {"hidden": [4.5]}, "positive whole numbers"),
        ("mlp", {"hidden": [True]}, "positive whole numbers"),
        ("mlp", {"hidden": 4}, "positive whole numbers"),
        ("mlp", {"hidden": "44"}, "positive whole numbers"),
        ("mlp", {"hidden": None}, "positive whole numbers"),
        ("mlp", {"hidden": {"a": 1}}, "positive whole numbers"),
        ("mlp", {"hidden": [10**14]}, "cannot be built"),
        ("cnn", {"channels": ["a"]}, "positive whole numbers"),
        ("mlp", {"activation": "sigmoidal"}, "unknown activation 'sigmoidal'; known: relu, tanh, gelu"),
        ("mlp", {"activation": ["relu"]}, "unknown activation"),
        ("mlp", {"activation": None}, "unknown activation"),
        ("no.such.module:f", {}, "ModuleNotFoundError"),
        (f"{FACTORIES}:absent", {}, "AttributeError"),
        (f"{FACTORIES}:Layer.absent", {}, "AttributeError"),
        ("resnet20", {"activation": "sine"}, "unknown activation 'sine'"),
        ("resnet20", {"norm": "instance"}, "unknown model option norm='instance'; known: batch, group, layer, none"),
        ("mlp", {"norm": "instance", "hidden": []}, "unknown model option norm='instance'"),
        ("cnn", {"norm": ["batch"], "channels": []}, r"unknown model option norm=\['batch'\]"),
        ("lenet", {"norm": "batch"}, "no option 'norm'; known in model.options: activation"),
        ("wide_resnet", {"dropout": 0.3}, "no option 'dropout'; known in model.options: depth, width, norm"),
        ("resnet18", {"norm": None}, "unknown model option norm=None"),
        ("vit", {"mlp_ratio": 0.5}, "mlp_ratio=0.5 must be a positive whole number"),
        ("vit", {"patch": True}, "patch=True must be a positive whole number"),
        ("resnet20", {"shortcut": "C"}, "shortcut='C'; known: A, B"),
        ("resnet20", {"width": 0.3}, "turns channels \\[16, 32, 64\\]"),
        ("resnet20", {"width": 0}, "turns channels"),
        ("resnet20", {"width": "wide"}, "must be a number that multiplies"),
        ("resnet20", {"depth": 26}, "no option 'depth'"),
        ("resnet18", {"width": float("inf")}, "turns channels"),
        ("wide_resnet", {"depth": 17}, "depth=17 must be 6n . 4, such as 22"),
        ("wide_resnet", {"depth": 4}, "must be 6n"),
        ("wide_resnet", {"depth": 16.0}, "positive whole number"),
        ("vit", {"patch": 3}, "patch=3 does not divide images of 4×4"),
        ("vit", {"heads": 5}, "heads=5 does not divide dim=64"),
        ("vit", {"pool": "max"}, "pool='max'; known: mean, token"),
        ("vit", {"depth": 0}, "depth=0 must be a positive whole number"),
        (f"{FACTORIES}:", {}, "cannot import"),
        (f"{FACTORIES}:linear:more", {}, "cannot import"),
        (":linear", {}, "cannot import"),
        (":", {}, "cannot import"),
        (".factories:linear", {}, "cannot import"),
        ("tests.models.breaks_on_import:f", {}, "ArithmeticError: two lines in this message"),
        ("tests.models.exits_on_import:f", {}, "SystemExit: 7"),
        (f"{FACTORIES}:VALUE", {}, "is not callable"),
        (f"{FACTORIES}:no_module", {}, "made a str, not a torch.nn.Module"),
        (f"{FACTORIES}:fails", {}, "this factory fails in two lines"),
        (f"{FACTORIES}:linear", {"depth": 3}, "unexpected keyword argument 'depth'"),
    ],
)
def test_refused(name, options, message):
    with pytest.raises(InputError, match=message) as caught:
        build_model(name, (1, 4, 4), 3, options, seed=0)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["cnn", "lenet", "resnet20", "resnet18", "wide_resnet", "vit"])
def test_image_models_want_images(name):
    with pytest.raises(InputError, match=r"not \(64,\); use mlp"):
        build_model(name, (64,), 3, {}, seed=0)


def test_small_images():
    assert lenet((1, 12, 12), 3)(torch.zeros(2, 1, 12, 12)).shape == (2, 3)
    with pytest.raises(InputError, match="lenet needs images of at least 12×12, not 8×8; use cnn"):
        build_model("lenet", (1, 8, 8), 3, {}, seed=0)


def test_absurd_numbers_of_classes():
    with pytest.raises(InputError, match="number the classes 0…C−1"):
        build_model("mlp", (4,), 10**9, {}, seed=0)
