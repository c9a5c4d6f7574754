"""A run that was cut off anywhere and resumed gives the bits of one that was not."""

from __future__ import annotations

import errno
import shutil
import threading
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from distlandscape.errors import InputError
from distlandscape.record.log import EventLog
from distlandscape.record.run import Run
from distlandscape.spectral import slices, spectral_density, top_eigenpairs
from distlandscape.spectral.driver import TensorSpace
from distlandscape.spectral.journal import SILENT
from distlandscape.spectral.sharded import ShardedSpace
from distlandscape.spectral.space import Space
from distlandscape.studies.journal import Renewed, RunJournal, restart_of
from tests.spectral.helpers import DTYPES, Dense, MemoryJournal, Punctual, Stop, rotated

# Copies at both ends, and so far out that the first run ends before rounding has shown them: the check has to add them.
A = rotated(np.concatenate([np.full(3, 9.0), [6.0, 5.0], np.linspace(-1, 1, 203), [-4.0], np.full(2, -5.0)]))
DIM = len(A)
Work = Callable[[Dense, Any], tuple[Any, ...]]


def pairs(operator: Dense, journal: Any) -> tuple[Any, ...]:
    p = top_eigenpairs(operator, (3, 2), 1e-5, "BE", journal=journal)
    arrays = (p.eigenvalues.tobytes(), p.eigenvectors.numpy().tobytes(), p.residuals.tobytes())
    return (*arrays, p.passes, p.steps, p.status, p.trust)


def density(operator: Dense, journal: Any) -> tuple[Any, ...]:
    d = spectral_density(operator, 3, 20, journal=journal)
    return d.nodes.tobytes(), d.weights.tobytes(), d.draw.tobytes(), d.passes, d.mean()


WORKS: dict[str, Work] = {"pairs": pairs, "density": density}


def cut_off(work: Work, space: Space, journal: Any, at: int) -> None:
    operator = Dense(A, space)
    operator.fail_at = at
    with pytest.raises(Stop):
        work(operator, journal)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run.create(tmp_path, "spectrum", {}, {})


def on_disk(run: Run) -> RunJournal:
    """As a new process would open it."""
    return Punctual(Run.open(run.path), "stage", lambda _: None, lambda: False)


def steps_of_phases(space: Space) -> tuple[int, int]:
    """Steps of the main phase, and all passes."""
    p = top_eigenpairs(Dense(A, space), (3, 2), 1e-5, "BE")
    assert "found and added" in p.trust.missed_copies
    np.testing.assert_allclose(p.eigenvalues, [9, 9, 9, -5, -5], atol=1e-4)
    return p.steps, p.passes


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", WORKS)
def test_in_memory_at_every_phase(name: str, dtype: torch.dtype) -> None:
    work = WORKS[name]
    space: Space = TensorSpace(DIM, dtype) if dtype == torch.float64 else ShardedSpace(DIM, 3, dtype)
    whole = work(Dense(A, space), SILENT)
    main, passes = steps_of_phases(space) if name == "pairs" else (20, 40)
    # The first product, inside main, the certificate, the first of the check, inside it, the last one.
    for at in sorted({1, 2, main // 2, main, main + 1, main + 2, main + 5, passes}):
        journal = MemoryJournal(space)
        cut_off(work, space, journal, at)
        second = Dense(A, space)
        assert work(second, journal) == whole
        assert second.passes == passes - at + 1 + (name == "pairs" and at > main + 1)  # certified again
        assert bool(journal.restored) == (at > 1)


@pytest.mark.parametrize("name", WORKS)
def test_many_interruptions(name: str, run: Run) -> None:
    space = TensorSpace(DIM, torch.float32)
    whole = WORKS[name](Dense(A, space), SILENT)
    for at in (3, 5, 2, 9, 4, 12):
        cut_off(WORKS[name], space, on_disk(run), at)
    assert WORKS[name](Dense(A, space), on_disk(run)) == whole


@pytest.mark.parametrize("name", WORKS)
@pytest.mark.parametrize(("first", "second"), [(2, 1), (1, 3), (2, 3), (3, 3)])
def test_on_disk_in_another_sharding(name: str, first: int, second: int, run: Run) -> None:
    def space(slices: int) -> Space:
        return TensorSpace(DIM, torch.float32) if slices == 1 else ShardedSpace(DIM, slices, torch.float32)

    work = WORKS[name]
    whole = work(Dense(A, space(first)), SILENT)
    main = steps_of_phases(space(1))[0] if name == "pairs" else 20
    for at in (main // 2, main // 4, main - main // 2 - main // 4 + 6):  # twice in the first phase, then in the next
        cut_off(work, space(first), on_disk(run), at)
        first, second = second, first
    operator = Dense(A, space(first))
    assert work(operator, on_disk(run)) == whole
    assert operator.passes < whole[3]


def background(run: Run, renewal: Callable[[], bool] = lambda: False) -> RunJournal:
    return RunJournal(Run.open(run.path), "stage", lambda _: None, renewal)


def test_steps_taken_while_the_disk_is_busy_are_written_together(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """The algorithm never waits for the disk; what a crash costs is what came while it was busy."""
    append, free = EventLog.append, threading.Event()

    def slow(log: EventLog, event: str, **fields: Any) -> None:
        assert free.wait(60)
        append(log, event, **fields)

    monkeypatch.setattr(EventLog, "append", slow)
    space, journal = TensorSpace(DIM, torch.float32), background(run)
    operator = Dense(A, space)
    operator.fail_at = 8
    with pytest.raises(Stop):
        pairs(operator, journal)
    free.set()
    journal.end()
    assert [len(line["alphas"]) for line in run.log.events("steps")] == [1]
    assert pairs(Dense(A, space), background(run)) == pairs(Dense(A, space), SILENT)


def test_a_full_disk_ends_the_run_and_costs_no_committed_step(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    space = TensorSpace(DIM, torch.float32)
    cut_off(pairs, space, on_disk(run), 6)
    with monkeypatch.context() as patch:
        patch.setattr(slices, "save_file", lambda *_: (_ for _ in ()).throw(OSError(errno.ENOSPC, "No space left")))
        with pytest.raises(OSError, match="No space left"):
            pairs(Dense(A, space), background(run))
    operator = Dense(A, space)
    whole = pairs(Dense(A, space), SILENT)
    assert pairs(operator, background(run)) == whole
    assert operator.passes == whole[3] - 5


def test_a_renewal_commits_first(run: Run) -> None:
    """A worker came up at the fourth step: all four are on disk when the run is given up for it."""
    calls = iter(range(1000))
    space = TensorSpace(DIM, torch.float32)
    with pytest.raises(Renewed):
        pairs(Dense(A, space), background(run, lambda: next(calls) == 3))
    assert sum(len(line["alphas"]) for line in run.log.events("steps")) == 4
    assert pairs(Dense(A, space), background(run)) == pairs(Dense(A, space), SILENT)


@pytest.mark.parametrize("slices_then", [(1, 1), (2, 3), (3, 1)])
def test_thick_restarts_are_resumed_to_the_bit(slices_then: tuple[int, int], run: Run) -> None:
    """Cut off before, at and after restarts, again and again, in another sharding: the bits of an undisturbed run."""

    def restarted(operator: Dense, journal: Any) -> tuple[Any, ...]:
        p = top_eigenpairs(operator, (3, 2), 1e-5, "BE", basis_size=12, journal=journal)
        assert p.status == "converged"
        return p.eigenvalues.tobytes(), p.eigenvectors.numpy().tobytes(), p.residuals.tobytes(), p.passes, p.trust

    spaces = [ShardedSpace(DIM, n, torch.float32) for n in slices_then]
    whole = restarted(Dense(A, TensorSpace(DIM, torch.float32)), SILENT)
    for at in (5, 9, 2, 7, 11):
        cut_off(restarted, spaces[0], on_disk(run), at)
        spaces.reverse()
    operator = Dense(A, spaces[0])
    assert restarted(operator, on_disk(run)) == whole
    assert operator.passes <= whole[3] - 5 - 9 - 2 - 7 - 11 + 10
    assert len(list((run.path / "basis" / "stage" / "main").iterdir())) == 1  # older bases are gone


@pytest.mark.parametrize("closed", [False, True])
def test_restarts_of_an_earlier_version_are_read(closed: bool) -> None:
    """They carried one height a point, which was final once the space of the start had ended."""
    old = {"number": 1, "steps": 9, "values": [1.0], "border": [0.1], "couplings": [[]], "heights": [3.0]}
    restart = restart_of(**old, closed=closed)
    assert restart.ended == ([[3.0]] if closed else [[]])
    assert restart.heights == ([-np.inf] if closed else [3.0])  # of a further start nothing was kept
    assert restart_of(**asdict(restart)) == restart


def test_discard_deletes_the_basis(run: Run) -> None:
    journal = on_disk(run)
    pairs(Dense(A), journal)
    assert list((run.path / "basis" / "stage" / "main").iterdir())
    journal.discard()
    assert not (run.path / "basis" / "stage").exists()


class TestDamage:
    """What a crash can leave behind, and what someone may have done to the files since."""

    @pytest.fixture
    def cut(self, run: Run) -> Run:
        cut_off(pairs, TensorSpace(DIM, torch.float32), on_disk(run), 12)
        return run

    def whole(self) -> tuple[Any, ...]:
        return pairs(Dense(A, TensorSpace(DIM, torch.float32)), SILENT)

    def resumed(self, run: Run) -> tuple[tuple[Any, ...], int]:
        operator = Dense(A, TensorSpace(DIM, torch.float32))
        return pairs(operator, on_disk(run)), operator.passes

    def files(self, run: Run) -> list[Path]:
        return sorted((run.path / "basis" / "stage" / "main" / "000").iterdir())

    def test_nothing_damaged(self, cut: Run) -> None:
        result, passes = self.resumed(cut)
        assert result == self.whole()
        assert passes == result[3] - 11

    def test_torn_last_line(self, cut: Run) -> None:
        content = cut.log.path.read_bytes()
        for missing in (1, 20, 200):
            cut.log.path.write_bytes(content[:-missing])
            assert cut.log.repair()
            assert not cut.log.repair()
            assert len(cut.log.events("steps")) == 10
        result, passes = self.resumed(cut)
        assert result == self.whole()
        assert passes == result[3] - 10  # the step of the torn line is made again

    def test_a_torn_line_does_not_count_even_before_it_is_cut_off(self, cut: Run) -> None:
        cut.log.path.write_bytes(cut.log.path.read_bytes()[:-1])
        on_disk(cut).restore("main", TensorSpace(DIM, torch.float32).basis(400))
        assert len(self.files(cut)) == 10

    def test_an_uncommitted_file_is_dropped(self, cut: Run) -> None:
        folder = cut.path / "basis" / "stage" / "main" / "000"
        committed = self.files(cut)
        shutil.copy(committed[-1], folder / "vectors-00012-00013.segments-00-04.safetensors")
        (folder / ".vectors-00012-00013.segments-00-04.safetensors.77.part").write_bytes(b"half a file")
        journal, space = on_disk(cut), TensorSpace(DIM, torch.float32)
        basis = space.basis(400)
        recurrence = journal.restore("main", basis)
        assert self.files(cut) == committed
        assert recurrence is not None
        assert (basis.size, len(recurrence.alphas)) == (12, 11)
        assert self.resumed(cut)[0] == self.whole()

    def test_a_changed_file_is_refused(self, cut: Run) -> None:
        file = self.files(cut)[3]
        content = bytearray(file.read_bytes())
        content[-5] ^= 1
        file.write_bytes(content)
        with pytest.raises(
            InputError, match=r"is missing or was changed after the run wrote it; start the study again"
        ):
            self.resumed(cut)

    def test_a_missing_file_is_refused(self, cut: Run) -> None:
        file = self.files(cut)[0]
        file.unlink()
        with pytest.raises(InputError, match=file.name):
            self.resumed(cut)

    def test_numbers_survive_the_log_to_the_bit(self, cut: Run) -> None:
        logged = [alpha for line in cut.log.events("steps") for alpha in line["alphas"]]
        memory = MemoryJournal(TensorSpace(DIM, torch.float32))
        cut_off(pairs, memory.space, memory, 12)
        assert logged == memory.kept["main"][1].alphas
