"""What a GPU would be asked for, without one: tensors on the meta device have no data, and a backend that records.

Nothing here was run on a GPU. What is held: all exchanges of a step are on the device, in the order NCCL needs, and
nothing but a few numbers comes to the host.
"""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from distlandscape.data import BlockStore
from distlandscape.errors import WorkerFailure
from distlandscape.runtime import group, shards
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
        """As NCCL does: no work where nothing was sent."""
        sent = self.calls[-1] != "start"
        self.calls.append("end")
        return SimpleNamespace(wait=lambda: self.calls.append("wait")) if sent else None

    def abort(self):
        self.calls.append("abort")

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

    def tensors(x, y, device, **options):
        return torch.empty(x.shape, device=device), torch.empty(y.shape, device=device)

    return SimpleNamespace(
        data=data,
        samples=64,
        parameters=DIM,
        dtype=torch.float32,
        model=torch.nn.Identity(),
        tensors=tensors,
    )


def test_a_step_stays_on_the_device_and_batches_its_exchanges(sharded, objective):
    space, recorder, host = sharded
    evaluator = Evaluator(DEVICE)
    space.run([("random", 0, 0, 0, "normal"), ("basis", 1, 8), ("append", 1, 0, 1.0)], objective, evaluator)
    assert recorder.calls == []
    product = ("products", products, (), [2], [3], 0.1)
    space.run([("row", 1, 2, 0), product, ("orthogonalize", 1, 4, 3), ("append", 1, 4, 1.0)], objective, evaluator)
    exchange = ["start", "send to 2", "send to 0", "recv from 0", "recv from 2", "end", "wait"]
    # The flag of memory, the vector, the flag of sums, these; then the coefficients twice, and the norm.
    assert recorder.calls == 7 * exchange
    assert max(host) <= 3  # flags of three ranks, finite or not, the coefficient, the norm
    assert {v.device for v in space.vectors.values()} == {DEVICE}


def test_a_copy_to_the_host_would_be_noticed(sharded, objective):
    """The test above can fail: a tensor on the meta device cannot be copied to the host."""
    space, _, _ = sharded
    space.run([("random", 0, 0, 0, "normal")], objective, Evaluator(DEVICE))
    with pytest.raises(NotImplementedError, match="meta tensor"):
        space.do_get(0)


def test_nothing_to_exchange_is_nothing_to_wait_for(sharded):
    space, recorder, _ = sharded
    space.group.swap([[], [], []], [[], [], []])
    assert recorder.calls == ["start", "end"]


def test_a_rank_that_fails_alone_leaves_and_one_that_is_asked_to(sharded, objective):
    """NCCL tells a rank nothing of its peers: it waits in an exchange until its own communicator is aborted."""
    space, recorder, _ = sharded
    with pytest.raises(KeyError):
        space.run([("append", 7, 0, 1.0)], objective, Evaluator(DEVICE))
    assert recorder.calls == ["abort"]
    assert space.group.over
    with pytest.raises(group.GroupBroken):
        space.run([("random", 0, 0, 0, "normal"), ("dots", [0], [0])], objective, Evaluator(DEVICE))
    space.group.leave()  # a second time, by a worker that is asked to
    assert recorder.calls == ["abort"]


def test_what_a_rank_meets_after_it_was_asked_to_leave_is_no_error_of_its_own(sharded, objective, monkeypatch):
    space, recorder, _ = sharded

    def meets(*arguments):
        space.group.leave()  # from the other thread
        raise FloatingPointError("whatever an aborted exchange left behind")

    monkeypatch.setattr(shards.Shards, "do_dots", meets)
    with pytest.raises(group.GroupBroken):
        space.run([("dots", [0], [0])], objective, Evaluator(DEVICE))
    assert recorder.calls == ["abort"]


def refuses(objective, batch, V_KP):
    raise ArithmeticError("of this rank")


@pytest.mark.parametrize("part", ["memory of the vectors", "the product", "memory of the sums"])
def test_ranks_that_fail_alike_stay_members(sharded, objective, monkeypatch, part):
    """The flag is exchanged, whatever fails of a rank's own work in a product, and nobody leaves."""
    space, recorder, _ = sharded
    monkeypatch.setattr(shards, "numbers", lambda flags: np.array([False, True, False]))
    space.run([("random", 0, 0, 0, "normal")], objective, Evaluator(DEVICE))

    def lacks(self, *arguments):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    function, expected = products, WorkerFailure
    if part == "the product":
        function, expected = refuses, ArithmeticError
        space._buffer("whole", (1, DIM), torch.float32)
        monkeypatch.setattr(shards, "numbers", Answers([False, True]))
    elif part == "memory of the vectors":
        monkeypatch.setattr(shards.Shards, "_buffer", lacks)
    else:
        monkeypatch.setattr(shards, "numbers", Answers([False, True]))
        monkeypatch.setattr(shards.Shards, "_outgoing", lacks)
    with pytest.raises(expected):
        space.run([("products", function, (), [0], [1], 0.0)], objective, Evaluator(DEVICE))
    assert not space.group.over
    assert "abort" not in recorder.calls


class Answers:
    """What the ranks' flags are read as, one after another."""

    def __init__(self, flags):
        self._flags = iter(flags)

    def __call__(self, flags):
        return np.array([next(self._flags)])
