"""Checkpoints as training scripts, wrappers and Lightning write them: one model in them is read, else a sentence."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torch.optim.swa_utils import AveragedModel

from distlandscape.cli.main import main
from distlandscape.errors import InputError
from distlandscape.models import build_model, load_weights

KEYS = ("net", "model_state", "weights", "params", "state_dict")


def make(seed=3, depth=1):
    return build_model("mlp", (13,), 3, {"hidden": [6] * depth}, seed)


def prefixed(prefix, state):
    return {f"{prefix}{name}": tensor for name, tensor in state.items()}


def trained():
    """A model with an optimizer that remembers something for each parameter."""
    model = make()
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.ones(2, 13)).sum().backward()
    optimizer.step()
    return model, optimizer.state_dict()


def compiled_inside(model):
    """Names as they are after torch.compile of one layer; nothing is compiled before it runs."""
    wrapped = make()
    wrapped.load_state_dict(model.state_dict())
    wrapped[1] = torch.compile(wrapped[1], backend="eager")
    return wrapped.state_dict()


def forms():
    model, optimizer = trained()
    state = model.state_dict()
    mean = AveragedModel(model).state_dict()
    return model, {
        "AveragedModel": mean,
        "AveragedModel of a compiled model": prefixed("_orig_mod.", mean),
        "AveragedModel in Lightning": {"state_dict": prefixed("average.", mean), "epoch": 3},
        "DataParallel": nn.DataParallel(model).state_dict(),
        "FSDP": prefixed("_fsdp_wrapped_module.", state),
        "a compiled layer": compiled_inside(model),
        "a checkpointed layer": {name.replace("1.", "1._checkpoint_wrapped_module."): t for name, t in state.items()},
        "Lightning, model": {"state_dict": prefixed("model.", state), "epoch": 1, "hyper_parameters": {"lr": 0.1}},
        "Lightning, net, compiled": {"state_dict": prefixed("net._orig_mod.", state)},
        "any prefix": prefixed("my.own_net.", state),
        **{f"under {key}": {key: state, "accuracy": 91.2, "optimizer": optimizer} for key in KEYS},
        "two keys deep": {"checkpoint": {"ema": state}, "step": 4},
        "one state dict under two keys": {"model": state, "best": state},
        "beside another model": {"generator": state, "critic": nn.Linear(2, 1).state_dict()},
        "parameters": {name: nn.Parameter(tensor) for name, tensor in state.items()},
        "half precision": {name: tensor.bfloat16() for name, tensor in state.items()},
    }


MODEL, FORMS = forms()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("old", [False, True])
def test_what_is_read(form, old, tmp_path):
    file = tmp_path / "checkpoint"
    torch.save(FORMS[form], file, _use_new_zipfile_serialization=not old)
    model = make(seed=8)
    load_weights(model, file)
    for name, tensor in MODEL.state_dict().items():
        expected = tensor.bfloat16().float() if form == "half precision" else tensor
        assert torch.equal(model.state_dict()[name], expected), name


def test_a_model_that_is_compiled_itself_reads_plain_names(tmp_path):
    save_file(MODEL.state_dict(), tmp_path / "w")
    model = make(seed=8)
    model[1] = torch.compile(model[1], backend="eager")
    load_weights(model, tmp_path / "w")
    assert torch.equal(model[1].weight, MODEL[1].weight)


def test_a_tied_parameter_under_one_name_and_a_prefix(tmp_path):
    def tied():
        model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
        model[1].weight = model[0].weight
        return model

    model, other = tied(), tied()
    save_file({f"net.{n}": t.clone() for n, t in model.state_dict().items() if n != "0.weight"}, tmp_path / "w")
    load_weights(other, tmp_path / "w")
    assert torch.equal(other[0].weight, model[0].weight)
    assert other[0].weight is other[1].weight


DEEP = make(depth=30).state_dict()  # 62 names
STATE = MODEL.state_dict()
REFUSED = {
    "an average beside the model": (
        {"model": STATE, "ema": {name: 0 * tensor for name, tensor in STATE.items()}},
        "holds weights of this model under 'model' and 'ema'; save the one that is meant alone",
    ),
    "two prefixes": (
        {**prefixed("net.", STATE), **prefixed("ema.", STATE)},
        "holds this model under the prefixes 'ema.' and 'net.'; save the one that is meant alone",
    ),
    "another head": (
        {**STATE, "3.weight": torch.ones(10, 6), "3.bias": torch.ones(10)},
        "'3.weight' has shape (10, 6), the model needs (3, 6), '3.bias' has shape (10,), the model needs (3,);",
    ),
    "another head, with a prefix": (
        {"state_dict": prefixed("model.", {**STATE, "3.bias": torch.ones(10)})},
        "under 'state_dict' of another shape: '3.bias' has shape (10,), the model needs (3,);",
    ),
    "a layer that is missing": (
        prefixed("net.", {name: tensor for name, tensor in STATE.items() if not name.startswith("3")}),
        "lacks '3.weight', '3.bias'; give",
    ),
    "more than the model has": (
        {**STATE, "criterion.weight": torch.ones(3), "n_averaged_too": torch.ones(1)},
        "holds 'criterion.weight', 'n_averaged_too', which the model lacks; give",
    ),
    "a deeper net": (
        DEEP,
        ", ".join(map(repr, list(DEEP)[4:16])) + " and 46 more, which the model lacks;",
    ),
    "numpy's arrays": (
        {name: tensor.numpy() for name, tensor in STATE.items()},
        "numpy.ndarray); pickled weights are refused, save model.state_dict() alone, with tensors (torch.from_numpy)",
    ),
    "a number of numpy's": ({"net": STATE, "best": np.float64(3)}, "plain numbers for its scalars"),
    "a whole model": (MODEL, "torch.nn.modules.linear.Linear"),
    "a list": (list(STATE.values()), "holds no state dict; save model.state_dict()"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused_with_the_names_it_holds(case, tmp_path):
    content, words = REFUSED[case]
    file = tmp_path / "checkpoint.pt"
    torch.save(content, file)
    with pytest.raises(InputError, match=re.escape(words)) as refused:
        load_weights(make(), file)
    assert "\n" not in str(refused.value)


def test_the_command_says_it_in_one_sentence(tmp_path, capfd):
    file = tmp_path / "checkpoint.pt"
    torch.save({"net": prefixed("model.", {**STATE, "3.bias": torch.ones(10)})}, file)
    words = ["spectrum", "--set", f"model.weights={file}", "--out", str(tmp_path / "out")]
    assert main(words) == 2
    out, err = capfd.readouterr()
    assert (out, len(err.splitlines())) == ("", 1)
    assert "'3.bias' has shape (10,)" in err
