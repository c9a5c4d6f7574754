"""Which device a process computes on, how its memory and its faults show; no GPU is needed."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from distlandscape.errors import GenerationLost, InputError, WorkerFailure
from distlandscape.objective import Objective
from distlandscape.objective.failures import is_out_of_memory
from distlandscape.runtime import Hessian, LocalRunner, Pool, device, local
from tests.runtime import block_functions


@pytest.fixture
def gpu(monkeypatch):
    """Torch sees a GPU."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)


def test_outside_a_worker_the_gpu_that_torch_sees_is_taken(gpu, monkeypatch):
    assert device.default_device() == torch.device("cuda:0")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert device.default_device() == torch.device("cpu")


def test_a_worker_computes_on_the_gpu_that_is_its_own(gpu, monkeypatch):
    """Ray hides no GPU from workers that have none."""
    monkeypatch.setattr(device, "_reserved", lambda: 0)
    assert device.default_device() == torch.device("cpu")
    monkeypatch.setattr(device, "_reserved", lambda: 1)
    assert device.default_device() == torch.device("cuda:0")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError, match=r"a GPU is reserved .* cannot use it there \(.*\); install"):
        device.default_device()


def test_a_real_worker_without_a_gpu_does_not_take_one(store):
    assert set(store.map_tasks(block_functions.device_beside_a_gpu, range(6))) == {"cpu"}
    assert device._reserved() is None  # the driver


class Accelerator(RuntimeError):
    """What torch.AcceleratorError is: only torch itself gives it a code."""

    def __init__(self, text, code):
        super().__init__(text)
        self.error_code = code


MEMORY = [
    MemoryError(),
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:124] err == 0. DefaultCPUAllocator: can't allocate memory"),
    RuntimeError("CUDA out of memory. Tried to allocate 20.00 MiB (GPU 0; 79.15 GiB total capacity)"),
    RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported"),
    RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    RuntimeError("cusolver error: CUSOLVER_STATUS_ALLOC_FAILED, when calling `cusolverDnCreate(handle)`"),
    RuntimeError("HIP out of memory. Tried to allocate 2.00 GiB"),
    RuntimeError("NCCL error: unhandled cuda error\nLast error:\nCuda failure 2 'out of memory'"),
    Accelerator("CUDA error: whatever the driver says", 2),
]
OTHER = [
    ValueError("CUDA out of memory"),
    RuntimeError("cuDNN error: CUDNN_STATUS_NOT_SUPPORTED. This error may appear for a non-contiguous input"),
    RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"),
    RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasSgemm`"),
    RuntimeError("CUDA error: device-side assert triggered"),
    Accelerator("CUDA error: an illegal memory access was encountered", 700),
    RuntimeError("mat1 and mat2 shapes cannot be multiplied"),
]


@pytest.mark.parametrize("error", MEMORY, ids=lambda e: f"{type(e).__name__} {str(e)[:40]}")
def test_memory_that_ran_out_is_told_by_the_drivers_and_libraries_own_words(objective, error):
    """Wherever it ran out in a micro-batch, the pass starts again with half of it: the same sum."""
    assert is_out_of_memory(error)
    calls, told = [], []

    def block(objective, batch):
        calls.append(len(batch.x))
        if len(calls) == 2:
            raise error
        return (batch.y.sum().double()[None],)

    runner = LocalRunner(micro_batch=8, on_event=told.append)
    (total,) = runner.map_blocks(objective, block)
    assert total[0] == sum(objective.data.block(b)[1].sum() for b in range(objective.data.blocks))
    assert runner.micro_batch == 4
    assert max(calls[2:]) == 4
    assert len(told) == 1


@pytest.mark.parametrize("error", OTHER, ids=lambda e: f"{type(e).__name__} {str(e)[:40]}")
def test_other_errors_are_not_taken_for_it(error):
    assert not is_out_of_memory(error)


def test_a_model_that_does_not_fit_onto_the_device_is_one_sentence(objective, monkeypatch):
    runner = LocalRunner()

    def lacks(objective):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(runner._evaluator, "_placed", lacks)
    with pytest.raises(WorkerFailure, match="does not fit into memory"):
        Hessian(objective, runner) @ np.ones(objective.parameters)


def broken(*arguments):
    raise RuntimeError("CUDA error: device-side assert triggered")


def test_a_device_fault_ends_a_local_run_with_a_sentence(objective, monkeypatch):
    """Synchronizing raises in a process whose GPU reported a fault, and in no other: no words are read."""
    with pytest.raises(RuntimeError, match=r"^CUDA error: device-side assert triggered$"):
        LocalRunner().map_blocks(objective, broken)
    monkeypatch.setattr(local, "is_lost", lambda device: True)
    with pytest.raises(WorkerFailure, match=r"the GPU reported a fault \(CUDA error: .*; start the program"):
        LocalRunner().map_blocks(objective, broken)


def test_a_gpu_is_lost_where_it_cannot_be_waited_for(monkeypatch):
    gpu, waited = torch.device("cuda:0"), []
    monkeypatch.setattr(torch.cuda, "synchronize", waited.append)
    assert not device.is_lost(gpu)
    assert not device.is_lost(torch.device("cpu"))
    assert waited == [gpu]
    monkeypatch.setattr(torch.cuda, "synchronize", broken)
    assert device.is_lost(gpu)


class Faulty(Hessian):
    products = staticmethod(block_functions.fault_once)


@pytest.mark.usefixtures("ray_session")
@pytest.mark.parametrize("transport", ["store", "collective"])
def test_a_device_fault_ends_the_worker_and_not_the_run(objective, transport, tmp_path):
    """A new process takes its place, and does its blocks."""
    events = []
    with Pool(2, 0.5, threads=1, transport=transport, on_event=events.append) as pool:
        faulty, pids = Faulty(objective, pool), pool.pids
        faulty.arguments = (str(tmp_path / "flag"),)

        def product():
            space = faulty.space
            ones = space.from_numpy(np.ones(objective.parameters, "f4"))
            return space.to_numpy(faulty.apply([ones])[0])

        if transport == "collective":
            with pytest.raises(GenerationLost, match="was lost"):
                product()
            pool.recover()
        assert np.array_equal(product(), np.ones(objective.parameters))
        pool._crew.wait(2, 60)
        assert len(set(pids) & set(pool.pids)) == 1
        assert len(pool.pids) == 2
    assert len(events) == 1
    assert "was lost" in events[0]


class Puts(torch.nn.Linear):
    """``put_`` has no deterministic kernel, on no device."""

    def forward(self, x):
        z = super().forward(x)
        return torch.zeros_like(z).put_(torch.arange(z.numel()).view_as(z), z)


def test_an_operation_without_a_deterministic_kernel_is_one_sentence():
    rng = np.random.default_rng(0)
    made = Objective(Puts(4, 3), (rng.standard_normal((20, 4)), rng.integers(0, 3, 20)))
    H = Hessian(made)

    def late(objective, batch):
        raise RuntimeError(
            "upsample does not have a deterministic implementation, but you set"
            " 'torch.use_deterministic_algorithms(True)'."
        )

    with pytest.raises(InputError, match="no deterministic kernel"):
        H.runner.map_blocks(made, late)
    torch.use_deterministic_algorithms(True)
    try:
        with pytest.raises(InputError, match="deterministic"):
            H @ np.ones(made.parameters)
    finally:
        torch.use_deterministic_algorithms(False)


def test_memory_that_runs_out_where_sums_are_added_counts_as_the_micro_batchs(objective, monkeypatch):
    runner = LocalRunner(micro_batch=8, on_event=lambda text: None)
    expected = runner.map_blocks(objective, block_functions.count_samples)
    plain, calls = runner._evaluator._buffers, []

    def lacks(like):
        calls.append(like)
        if len(calls) == 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return plain(like)

    monkeypatch.setattr(runner._evaluator, "_buffers", lacks)
    assert np.array_equal(runner.map_blocks(objective, block_functions.count_samples), expected)
    assert runner.micro_batch == 4
