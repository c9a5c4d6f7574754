"""Networks by name and by import path: shapes, seeded weights, refusals."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch import nn

from distlandscape.errors import InputError
from distlandscape.models import build_model, cnn, mlp

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


def test_the_random_state_is_left_alone_by_a_factory_that_fails():
    before = torch.get_rng_state()
    with pytest.raises(InputError):
        build_model(f"{FACTORIES}:fails", (16,), 3, {}, seed=1)
    assert torch.equal(torch.get_rng_state(), before)


def test_import_path_gets_the_options_alone():
    model = build_model(f"{FACTORIES}:linear", (99,), 99, {"width": 4, "outputs": 2}, seed=0)
    assert model(torch.ones(1, 4)).shape == (1, 2)
    assert isinstance(build_model("torch.nn:Linear", (9,), 9, {"in_features": 2, "out_features": 3}, 0), nn.Linear)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("resnet9000", {}, "unknown model.name 'resnet9000'; known: cnn, lenet, mlp, resnet110"),
        ("", {}, "known: cnn, lenet, mlp"),
        ("mlp", {"depth": 3}, "no option 'depth'; known in model.options: hidden, activation"),
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
        ("resnet20", {"norm": "layer"}, "unknown model option norm='layer'; known: batch, group, none"),
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
    with pytest.raises(InputError, match="lenet needs images of at least 12×12, not 8×8; use cnn"):
        build_model("lenet", (1, 8, 8), 3, {}, seed=0)


def test_cnn_wants_images():
    with pytest.raises(InputError, match=r"not \(64,\); use mlp"):
        build_model("cnn", (64,), 3, {}, seed=0)


def test_absurd_numbers_of_classes():
    with pytest.raises(InputError, match="number the classes 0…C−1"):
        build_model("mlp", (4,), 10**9, {}, seed=0)
