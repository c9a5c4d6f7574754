"""Block Lanczos goes on from any commit, by any sharding, with the same bits."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch

from distlandscape.record.run import Run
from distlandscape.spectral import top_eigenpairs
from distlandscape.spectral.driver import TensorSpace
from distlandscape.spectral.journal import SILENT, Journal, Recurrence
from distlandscape.spectral.sharded import ShardedSpace
from distlandscape.spectral.space import Basis, Space
from distlandscape.studies.journal import RunJournal
from tests.spectral.helpers import (
    COPIES,
    DIM,
    SPECTRA,
    Dense,
    MemoryJournal,
    Stop,
    rotated,
    rows,
    run_block,
)


class Every(MemoryJournal):
    """Remembers the state at each commit, not only at the last."""

    def __init__(self, space: Space) -> None:
        super().__init__(space)
        self.states: list[dict[str, tuple[list[Any], Recurrence]]] = []

    def commit(self, name: str, basis: Basis, recurrence: Recurrence) -> None:
        super().commit(name, basis, recurrence)
        self.states.append(copy.copy(self.kept))


def outcome(operator: Dense, journal: Journal, block: int = 3) -> tuple[Any, ...]:
    p = top_eigenpairs(operator, (5, 2), 1e-5, "BE", block=block, journal=journal)
    arrays = (p.eigenvalues.tobytes(), p.eigenvectors.numpy().tobytes(), p.residuals.tobytes())
    return (*arrays, p.passes, p.steps, p.status, p.trust)


@pytest.mark.parametrize("block", [2, 3])
def test_a_resume_at_any_commit_gives_the_same_bits(block: int) -> None:
    space = TensorSpace(len(COPIES), torch.float32)
    journal = Every(space)
    whole = outcome(Dense(COPIES, space), journal, block)
    assert [len(kept) for kept in journal.states].count(1) == whole[4]  # one commit a block
    for done, kept in enumerate(journal.states, start=1):
        again, operator = MemoryJournal(space), Dense(COPIES, space)
        again.kept = copy.deepcopy(kept)
        assert outcome(operator, again, block) == whole
        assert operator.passes == whole[3] - done


@pytest.mark.parametrize("name", ["rank 1", "identity"])
def test_a_resume_after_breakdowns(name: str) -> None:
    A = rotated(SPECTRA[name])
    whole = run_block(Dense(A), 6, 4)
    for done in range(1, 6):
        journal = MemoryJournal(TensorSpace(DIM, torch.float64))
        run_block(Dense(A), done, 4, journal=journal)
        resumed = run_block(Dense(A), 6, 4, journal=journal)
        assert journal.restored == ["block"]
        assert resumed.recurrence == whole.recurrence
        assert (
            rows(resumed.operator.space, resumed.basis).tobytes() == rows(whole.operator.space, whole.basis).tobytes()
        )


@pytest.mark.parametrize("block", [2, 3])
def test_a_resume_from_disk_in_another_sharding(block: int, tmp_path: Path) -> None:
    class Punctual(RunJournal):
        def commit(self, name: str, basis: Basis, recurrence: Recurrence) -> None:
            super().commit(name, basis, recurrence)
            self._wait()

    record = Run.create(tmp_path, "spectrum", {}, {})

    def journal() -> RunJournal:
        return Punctual(Run.open(record.path), "stage", lambda _: None, lambda: False)

    whole = outcome(Dense(COPIES, TensorSpace(len(COPIES), torch.float32)), SILENT, block)
    for slices, at in ((1, 3), (3, 2), (2, 4)):
        operator = Dense(COPIES, ShardedSpace(len(COPIES), slices, torch.float32))
        operator.fail_at = at
        with pytest.raises(Stop):
            outcome(operator, journal(), block)
    operator = Dense(COPIES, ShardedSpace(len(COPIES), 3, torch.float32))
    assert outcome(operator, journal(), block) == whole
    assert operator.passes == whole[3] - 2 - 1 - 3
