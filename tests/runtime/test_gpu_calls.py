"""What a GPU would be asked for, without one: tensors on the meta device have no data, and a backend that records.

Nothing here was run on a GPU. What is held: all exchanges of a step are on the device, in the order NCCL needs, and
nothing but a few numbers comes to the host.
"""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from distlandscape.data import BlockStore
from distlandscape.runtime import group, shards
from distlandscape.runtime.device import default_device
from distlandscape.runtime.evaluate import Evaluator
from distlandscape.runtime.group import Membership

DIM, DEVICE = 5000, torch.device("meta")


class Recorder:
    """Stands for ProcessGroupNCCL; every call and the device of its tensor are kept."""

    def __init__(self):
        self.calls = []

    def _start_coalescing(self):
        self.calls.append("start")

    def _end_coalescing(self):
        self.calls.append("end")
        return SimpleNamespace(wait=lambda: self.calls.append("wait"))

    def send(self, tensors, peer, tag):
        assert all(t.device == DEVICE and t.is_contiguous() for t in tensors)
        self.calls.append(f"send to {peer}")

    def recv(self, tensors, peer, tag):
        assert all(t.device == DEVICE for t in tensors)
        self.calls.append(f"recv from {peer}")


def products(objective, batch, V_KP):
    assert V_KP.device == batch.x.device == DEVICE
    return (V_KP * batch.x.sum(),)


@pytest.fixture
def sharded(monkeypatch, tmp_path):
    """Rank 1 of three, its recorder, and the sizes of what came to the host."""
    recorder, host = Recorder(), []

    def numbers(sums):
        host.append(sums.numel())
        return np.zeros(tuple(sums.shape))

    monkeypatch.setattr(group, "_backend", lambda *arguments: recorder)
    monkeypatch.setattr(shards, "numbers", numbers)
    space = shards.Shards(Membership(str(tmp_path / "store"), 1, 1, 3), DIM, torch.float32, DEVICE, "here")
    space.group._together = True  # as on a GPU
    return space, recorder, host


@pytest.fixture
def objective():
    rng = np.random.default_rng(0)
    data = BlockStore.from_arrays(rng.standard_normal((64, 4)).astype("f4"), rng.integers(0, 2, 64))

    def tensors(x, y, device):
        return torch.empty(x.shape, device=device), torch.empty(y.shape, device=device)

    return SimpleNamespace(data=data, samples=64, parameters=DIM, model=torch.nn.Identity(), tensors=tensors)


def test_a_step_stays_on_the_device_and_batches_its_exchanges(sharded, objective):
    space, recorder, host = sharded
    evaluator = Evaluator(DEVICE)
    space.run([("random", 0, 0, 0, "normal"), ("basis", 1, 8), ("append", 1, 0, 1.0)], objective, evaluator)
    assert recorder.calls == []
    product = ("products", products, (), [2], [3], 0.1)
    space.run([("row", 1, 2, 0), product, ("orthogonalize", 1, 4, 3), ("append", 1, 4, 1.0)], objective, evaluator)
    exchange = ["start", "send to 2", "send to 0", "recv from 0", "recv from 2", "end", "wait"]
    # The vector, the flag, the subtree sums; then the coefficients twice, and the norm.
    assert recorder.calls == 6 * exchange
    assert max(host) <= 3  # flags of three ranks, finite or not, the coefficient, the norm
    assert {v.device for v in space.vectors.values()} == {DEVICE}


def test_a_copy_to_the_host_would_be_noticed(sharded, objective):
    """The test above can fail: a tensor on the meta device cannot be copied to the host."""
    space, _, _ = sharded
    space.run([("random", 0, 0, 0, "normal")], objective, Evaluator(DEVICE))
    with pytest.raises(NotImplementedError, match="meta tensor"):
        space.do_get(0)


def test_a_gpu_computes_without_tf32(monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    monkeypatch.setattr(torch.backends.cuda.matmul, "allow_tf32", True)
    assert default_device().type == "cpu"
    assert torch.backends.cudnn.allow_tf32  # there is nothing to switch off
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert default_device().type == "cuda"
    assert not torch.backends.cudnn.allow_tf32
    assert not torch.backends.cuda.matmul.allow_tf32
