"""Weights files: bit for bit through safetensors, and everything else refused."""

from __future__ import annotations

import io
import pickle
import zipfile

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from distlandscape.errors import InputError
from distlandscape.models import build_model, load_weights, save_weights, weights_sha256
from tests.models.factories import Wrapper, dropout_net, tied


def make(seed=0):
    model = build_model("tests.models.factories:dropout_net", (), 0, {}, seed)
    with torch.no_grad():
        for buffer in (model[2].running_mean, model[2].running_var):
            buffer += torch.rand(8, generator=torch.Generator().manual_seed(seed))
    model[2].num_batches_tracked += 5 + seed
    return model


def same(one, other):
    one, other = one.state_dict(), other.state_dict()
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_round_trip_bit_for_bit_with_buffers(tmp_path, dtype):
    model, other = make(0).to(dtype), make(1).to(dtype)
    with torch.no_grad():
        model[1].weight[0, :4] = torch.tensor(
            [-0.0, torch.finfo(dtype).max, torch.finfo(dtype).tiny / 8, 1], dtype=dtype
        )
    save_weights(model, tmp_path / "deep" / "w.safetensors")
    assert not same(model, other)
    load_weights(other, tmp_path / "deep" / "w.safetensors")
    assert same(model, other)
    assert weights_sha256(model) == weights_sha256(other)
    assert [p.name for p in (tmp_path / "deep").iterdir()] == ["w.safetensors"]


def test_saving_changes_nothing(tmp_path):
    model = make()
    with torch.no_grad():
        model[1].weight.copy_(torch.randn(16, 8).T)
    model[1].weight = nn.Parameter(torch.randn(16, 8).T)  # not contiguous
    before, pointer = weights_sha256(model), model[1].weight.data_ptr()
    save_weights(model, tmp_path / "w")
    assert (weights_sha256(model), model[1].weight.data_ptr()) == (before, pointer)
    other = make(1)
    load_weights(other, tmp_path / "w")
    assert same(model, other)


def test_tied_weights(tmp_path):
    model, other = tied(), tied()
    save_weights(model, tmp_path / "w")
    load_weights(other, tmp_path / "w")
    assert same(model, other)
    assert other.one.weight is other.two.weight


def test_narrower_and_wider_numbers_are_converted(tmp_path):
    model = make()
    for dtype in (torch.float64, torch.float16):
        save_weights(make().to(dtype), tmp_path / "w")
        load_weights(model, tmp_path / "w")
        assert model[1].weight.dtype == torch.float32


def changed(state, **changes):
    return {k: v for k, v in {**state, **changes}.items() if v is not None}


STATE = dropout_net().state_dict()
BAD_STATES = {
    "missing": (changed(STATE, **{"5.bias": None}), "lacks '5.bias'"),
    "missing buffer": (changed(STATE, **{"2.running_mean": None}), "lacks '2.running_mean'"),
    "extra": (changed(STATE, more=torch.ones(1)), "holds 'more', which the model lacks"),
    "shape": (changed(STATE, **{"5.bias": torch.ones(4)}), r"'5.bias' has shape \(4,\), the model needs \(3,\)"),
    "transposed": (changed(STATE, **{"5.weight": torch.ones(8, 3)}), r"has shape \(8, 3\)"),
    "NaN": (changed(STATE, **{"5.bias": torch.full((3,), torch.nan)}), "'5.bias' holds NaN or infinite"),
    "infinite": (changed(STATE, **{"5.bias": torch.tensor([0, torch.inf, 0])}), "NaN or infinite"),
    "NaN buffer": (changed(STATE, **{"2.running_var": torch.full((8,), torch.nan)}), "NaN or infinite"),
    "beyond float32": (changed(STATE, **{"5.bias": torch.full((3,), 1e300, dtype=torch.float64)}), "infinite"),
    "whole numbers": (
        changed(STATE, **{"5.bias": torch.ones(3, dtype=torch.int64)}),
        "holds torch.int64, the model needs",
    ),
    "of another model": ({"a": torch.ones(1)}, "give weights of this very model"),
    "empty": ({}, "holds no state dict"),
}


@pytest.mark.parametrize("name", BAD_STATES)
def test_weights_that_do_not_fit(tmp_path, name):
    state, message = BAD_STATES[name]
    save_file(state, tmp_path / "w")
    model = dropout_net()
    before = weights_sha256(model)
    with pytest.raises(InputError, match=message):
        load_weights(model, tmp_path / "w")
    assert weights_sha256(model) == before


class Bomb:
    """A pickle that leaves a trace when it is loaded."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_pickles_are_refused_and_not_run(tmp_path):
    trace = tmp_path / "trace"
    torch.save({"a": Bomb(trace)}, tmp_path / "bomb.pt")
    torch.save(dropout_net(), tmp_path / "module.pt")
    torch.save({"a": Bomb(trace)}, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    (tmp_path / "state.pkl").write_bytes(pickle.dumps({"5.bias": [1.0]}))
    (tmp_path / "bomb.pkl").write_bytes(pickle.dumps(Bomb(trace)))
    for name in ("bomb.pt", "module.pt", "old.pt", "bomb.pkl", "state.pkl"):
        with pytest.raises(InputError, match=r"pickled weights are refused, (convert|save)"):
            load_weights(dropout_net(), tmp_path / name)
    assert not trace.exists()


def test_state_dicts_of_torch(tmp_path):
    """Plain, inside a checkpoint, with the prefixes wrappers add, in half precision."""
    model = make(3)
    state = model.state_dict()
    forms = {
        "plain": state,
        "checkpoint": {"epoch": 3, "state_dict": state, "optimizer": {"lr": 0.1}},
        "nested": {"model": {"state_dict": state}},
        "parallel": {f"module.{name}": tensor for name, tensor in state.items()},
        "compiled": {"model_state_dict": {f"_orig_mod.{name}": tensor for name, tensor in state.items()}},
        "both": {f"_orig_mod.module.{name}": tensor for name, tensor in state.items()},
    }
    for name, content in forms.items():
        torch.save(content, tmp_path / name)
        other = make(1)
        load_weights(other, tmp_path / name)
        assert same(model, other), name
        torch.save(content, tmp_path / name, _use_new_zipfile_serialization=False)
        other = make(1)
        load_weights(other, tmp_path / name)
        assert same(model, other), f"{name}, as older versions wrote it"
    torch.save({name: t.half() if t.is_floating_point() else t for name, t in state.items()}, tmp_path / "half")
    load_weights(other, tmp_path / "half")
    assert other[1].weight.dtype == torch.float32
    assert torch.equal(other[1].weight, model[1].weight.half().float())


def test_the_content_decides_not_the_name(tmp_path):
    model = make(3)
    torch.save(model.state_dict(), tmp_path / "w.safetensors")
    save_weights(model, tmp_path / "w.pt")
    for name in ("w.safetensors", "w.pt"):
        other = make(1)
        load_weights(other, tmp_path / name)
        assert same(model, other)


def test_a_prefix_that_the_model_has_itself_stays(tmp_path):
    model, other = Wrapper(), Wrapper()
    save_weights(model, tmp_path / "w")
    load_weights(other, tmp_path / "w")
    assert same(model, other)
    torch.save({f"module.{name}": tensor for name, tensor in model.state_dict().items()}, tmp_path / "w")
    other = Wrapper()
    load_weights(other, tmp_path / "w")
    assert same(model, other)


def test_torch_files_that_are_none(tmp_path):
    content, old = saved(STATE), saved(STATE, _use_new_zipfile_serialization=False)
    endless = {}
    endless["model"] = endless
    bad = tmp_path / "bad"
    cases = {
        "truncated": (content[: len(content) // 2], "neither a safetensors file nor a state dict"),
        "another archive": (archive(b"hello"), "damaged or no state dict"),
        "one of many disks": (content[:-38] + b"\x07" + content[-37:], "damaged or no state dict"),
        "bomb": (archive(bytes(10**8), zipfile.ZIP_DEFLATED), "compressed archive"),
        "list": (saved([1, 2]), "holds no state dict"),
        "number": (saved(3), "holds no state dict"),
        "empty": (saved({}), "holds no state dict"),
        "empty nest": (saved({"state_dict": {}}), "holds no state dict"),
        "mixed": (saved({"a": torch.ones(1), "b": "text"}), "holds 'b', which is no dense tensor"),
        "numbered": (saved({1: torch.ones(1)}), "holds 1, which is no dense tensor"),
        "inside itself": (saved(endless), "holds 'model', which is no dense tensor"),
        "sparse": (saved({"a": torch.ones(3).to_sparse()}), "holds 'a', which is no dense tensor"),
        "without values": (saved({"a": torch.ones(3, device="meta")}), "holds 'a', which is no dense tensor"),
        "imaginary": (saved(changed(STATE, **{"5.bias": torch.ones(3) * 1j})), "holds torch.complex64"),
        "truncated, old": (old[: len(old) // 2], "damaged or no state dict|pickled weights are refused"),
        "last byte lost, old": (old[:-1], "damaged or no state dict"),
        "magic only": (old[:14], "damaged or no state dict|pickled weights are refused"),
    }
    for data, message in cases.values():
        bad.write_bytes(data)
        with pytest.raises(InputError, match=message) as caught:
            load_weights(dropout_net(), bad)
        assert "\n" not in str(caught.value)


def archive(data, compression=zipfile.ZIP_STORED):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as packed:
        packed.writestr("data.pkl", data)
    return buffer.getvalue()


def saved(content, **options):
    buffer = io.BytesIO()
    torch.save(content, buffer, **options)
    return buffer.getvalue()


def test_one_name_of_a_tied_parameter_is_enough(tmp_path):
    model, other = tied(), tied()
    state = {name: tensor.clone() for name, tensor in model.state_dict().items() if name != "two.weight"}
    save_file(state, tmp_path / "w")
    load_weights(other, tmp_path / "w")
    assert same(model, other)
    save_file({name: tensor for name, tensor in state.items() if name != "one.weight"}, tmp_path / "w")
    with pytest.raises(InputError, match=r"lacks 'one\.weight'"):
        load_weights(other, tmp_path / "w")
    save_file({**state, "two.weight": state["one.weight"] + 1}, tmp_path / "w")
    with pytest.raises(InputError, match=r"different values for 'one\.weight' and 'two\.weight', which the model ties"):
        load_weights(other, tmp_path / "w")


def test_files_that_are_none(tmp_path):
    save_weights(dropout_net(), tmp_path / "good")
    content = (tmp_path / "good").read_bytes()
    bad = tmp_path / "bad"
    for data in (b"", b"\0" * 7, content[:20], content[:-1], content[: len(content) // 2], b"\xff" * 100, b"{}"):
        bad.write_bytes(data)
        with pytest.raises(InputError, match=r"neither a safetensors file nor a state dict|holds no state dict"):
            load_weights(dropout_net(), bad)
    for path in (tmp_path / "absent", tmp_path, tmp_path / "good" / "below", "", "a\0b"):
        with pytest.raises(InputError, match="not an existing file"):
            load_weights(dropout_net(), path)


def test_digest_sees_values_names_types_and_shapes():
    def digest(**tensors):
        module = nn.Module()
        for name, tensor in tensors.items():
            module.register_buffer(name, tensor)
        return weights_sha256(module)

    a, b = torch.arange(4.0), torch.ones(2)
    digests = [
        digest(a=a, b=b),
        digest(a=a, c=b),
        digest(a=a.double(), b=b),
        digest(a=a.view(2, 2), b=b),
        digest(a=a.view(torch.int32), b=b),
        digest(a=torch.nextafter(a, a + 1), b=b),
        digest(a=-a, b=b),
        digest(a=a),
        digest(b=a, a=b),
    ]
    assert len(set(digests)) == len(digests)
    assert digest(a=a, b=b) == digest(b=b, a=a) == digests[0]
    assert digest(a=torch.arange(8.0)[::2] / 2, b=b) == digests[0]  # not contiguous
    long = torch.zeros(1000)
    assert len({digest(a=long.index_fill(0, torch.tensor([i]), 1)) for i in range(0, 1000, 37)}) == 28
    assert len(digest(a=torch.tensor(1.0), b=torch.tensor(True), c=torch.zeros(0))) == 64
