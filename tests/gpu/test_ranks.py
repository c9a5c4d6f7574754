"""Ranks as threads on pretended GPUs, over a backend with NCCL's rules: the bits of one process, nobody stranded."""

from __future__ import annotations

import collections
import contextlib
import copy
import queue
import threading
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from distlandscape.curvature import hessian_products
from distlandscape.errors import OutOfMemory
from distlandscape.runtime import Hessian, LocalRunner, group, shards
from distlandscape.runtime.evaluate import Evaluator, PeerFailed
from distlandscape.runtime.group import GroupBroken, Membership
from tests.gpu.nets import build
from tests.gpu.pretended import CUDA, DeviceTensor, Pretended, pretended, why_not

pytestmark = pytest.mark.skipif(bool(why_not()), reason=why_not())

PROBE, PRODUCT, BASIS, REST = 0, 1, 2, 3  # numbers of vectors and of a basis
MICRO_BATCH = 8


class Wire:
    """What is on its way from one rank to another."""

    def __init__(self):
        self.sent = collections.defaultdict(queue.Queue)


class Nccl:
    """A rank's ProcessGroupNCCL.

    Exchanges are asked for between start and end, run together, and match in order; a rank whose peer does not come
    waits until it is aborted, and hears nothing of it.
    """

    def __init__(self, wire, rank):
        self._wire, self._rank = wire, rank
        self._asked = None
        self._aborted = False

    def _start_coalescing(self):
        assert self._asked is None
        self._asked = []

    def send(self, tensors, peer, tag):
        self._ask("send", tensors, peer)

    def recv(self, tensors, peer, tag):
        self._ask("recv", tensors, peer)

    def _ask(self, what, tensors, peer):
        (tensor,) = tensors
        assert isinstance(tensor, DeviceTensor)
        assert tensor.is_contiguous()
        self._asked.append((what, tensor.held, peer))

    def _end_coalescing(self):
        asked, self._asked = self._asked, None
        for what, tensor, peer in asked:
            if what == "send":
                self._wire.sent[self._rank, peer].put(tensor.clone())
        return SimpleNamespace(wait=lambda: self._receive(asked)) if asked else None

    def _receive(self, asked):
        for what, tensor, peer in asked:
            if what == "recv":
                arrived = self._arrival(peer)
                assert (arrived.shape, arrived.dtype) == (tensor.shape, tensor.dtype)
                tensor.copy_(arrived)

    def _arrival(self, peer):
        while not self._aborted:
            with contextlib.suppress(queue.Empty):
                return self._wire.sent[peer, self._rank].get(timeout=0.02)
        raise torch.distributed.DistBackendError("NCCL communicator was aborted")

    def abort(self):
        self._aborted = True


class Ranks:
    """A generation of so many ranks; each is a thread with a device of its own."""

    def __init__(self, objective, world, monkeypatch):
        wire = Wire()
        monkeypatch.setattr(group, "_backend", lambda store, member, *rest: Nccl(wire, member.rank))
        self.objectives = [copy.deepcopy(objective) for _ in range(world)]
        self.evaluators = [Evaluator(CUDA, MICRO_BATCH) for _ in range(world)]
        self.members = [
            shards.Shards(Membership("/nowhere", 1, rank, world), objective.parameters, torch.float32, CUDA, "here")
            for rank in range(world)
        ]

    def run(self, program, first=0):
        """The answers, or the error, of every rank; as a driver does, those that a failed one strands are freed."""
        outcomes = [None] * len(self.members)

        def rank(index):
            with Pretended():
                try:
                    arguments = program, self.objectives[index], self.evaluators[index], first
                    outcomes[index] = self.members[index].run(*arguments)
                except Exception as error:
                    outcomes[index] = error

        threads = [threading.Thread(target=rank, args=(index,)) for index in range(len(self.members))]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            for thread in threads:
                thread.join(0.5)
            if any(isinstance(outcome, Exception) for outcome in outcomes):
                for index, thread in enumerate(threads):
                    if thread.is_alive():
                        self.members[index].group.leave()
        return outcomes


STEP = [
    ("products", hessian_products, (), [PROBE], [PRODUCT], 0.0),
    ("basis", BASIS, 4),
    ("append", BASIS, PROBE, 1.0),
    ("orthogonalize", BASIS, REST, PRODUCT),
    ("get", PRODUCT),
    ("get", REST),
]


@pytest.fixture
def objective():
    """BatchNorm, 8 blocks."""
    return build("cnn", 130, 8)


@pytest.fixture
def expected(objective):
    """A step of one process on the CPU."""
    runner = LocalRunner(micro_batch=MICRO_BATCH)
    space = runner.space(objective)
    probe = space.random(0, 0, "normal")
    (product,) = Hessian(objective, runner).apply([probe])
    basis = space.basis(4)
    basis.append(probe, 1.0)
    rest, coefficients, norm = basis.orthogonalize(product)
    return [coefficients, norm, product.numpy(), rest.numpy()]


def numbers(outcomes):
    """Coefficients and norm, the same on all ranks, and the vectors put together."""
    for outcome in outcomes:
        if isinstance(outcome, Exception):
            raise outcome
    parts = [(*answers[-3], *answers[-2:]) for answers in outcomes]
    assert all(np.array_equal(p[0], parts[0][0]) and p[1] == parts[0][1] for p in parts)
    return [*parts[0][:2], *(np.concatenate([p[i] for p in parts]) for i in (2, 3))]


def same(found, expected):
    return all(np.array_equal(a, b) for a, b in zip(found, expected, strict=True))


@pytest.mark.parametrize("world", [1, 2, 3])
def test_a_step_has_the_bits_of_one_process(objective, expected, world, monkeypatch):
    with pretended():
        ranks = Ranks(objective, world, monkeypatch)
        assert all(member.group._together for member in ranks.members)
        ranks.run([("random", PROBE, 0, 0, "normal")])
        assert same(numbers(ranks.run(STEP)), expected)


def test_out_of_memory_on_one_rank_is_agreed_on(objective, expected, monkeypatch):
    """All stop before the same command, none leaves, and with smaller micro-batches the vectors are still there."""
    with pretended():
        ranks = Ranks(objective, 3, monkeypatch)
        for evaluator in ranks.evaluators:
            evaluator.micro_batch = 2 * MICRO_BATCH
        lacks_once(ranks.evaluators[1])
        outcomes = ranks.run([("random", PROBE, 0, 0, "normal"), *STEP])
        assert [type(outcome) for outcome in outcomes] == [PeerFailed, shards.Retry, PeerFailed]
        assert not any(member.group.over for member in ranks.members)
        for evaluator in ranks.evaluators:
            evaluator.micro_batch = MICRO_BATCH
        assert outcomes[1].position == 1
        assert same(numbers(ranks.run([("random", PROBE, 0, 0, "normal"), *STEP], first=1)), expected)


def lacks_once(evaluator):
    whole = evaluator._block_sum

    def lacks(*arguments):
        evaluator._block_sum = whole
        raise OutOfMemory(evaluator.micro_batch)

    evaluator._block_sum = lacks


def test_an_error_of_one_rank_is_its_own_and_the_others_are_freed(objective, monkeypatch):
    """It is in no exchange: NCCL would have the others wait for it for ever."""
    with pretended():
        ranks = Ranks(objective, 3, monkeypatch)
        ranks.run([("random", PROBE, 0, 0, "normal"), ("random", PRODUCT, 0, 1, "normal")])
        ranks.members[2].own.random = None  # makes the next one fail there
        outcomes = ranks.run([("random", REST, 0, 2, "normal"), ("dots", [PROBE], [PRODUCT])])
        assert [type(outcome) for outcome in outcomes] == [GroupBroken, GroupBroken, TypeError]
        assert all(member.group.over for member in ranks.members)
