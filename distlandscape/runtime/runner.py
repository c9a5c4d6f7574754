"""The contract of everything that can sweep a function over the data."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from distlandscape.errors import InputError
from distlandscape.objective import Objective
from distlandscape.output import say
from distlandscape.runtime.evaluate import BlockFunction, Sums
from distlandscape.spectral.space import Space

Task = Callable[[Any], Any]
Done = Callable[[int, Any], None]


def to_standard_error(text: str) -> None:
    """Where events go that nobody asked to be told of."""
    say(text)


class Runner(Protocol):
    """Runs passes over the data; the same bits whatever the number of workers."""

    @property
    def workers(self) -> int:
        """Number of worker processes; 0 for this process."""

    @property
    def transport(self) -> str:
        """How vectors and sums travel."""

    @property
    def threads(self) -> int:
        """Threads of each worker; equal bits are promised at equal threads."""

    @property
    def device(self) -> str:
        """Type of device the products run on, for example "cpu"."""

    @property
    def micro_batch(self) -> int:
        """Samples computed at a time."""

    def map_blocks(self, objective: Objective, function: BlockFunction, arrays: Sequence[Any] = ()) -> Sums:
        """Sum ``function(objective, batch, *arrays)`` over all samples, in float64 along the block tree.

        Cost: one pass.
        """

    def recover(self, repeated: bool = False) -> None:
        """Make workers usable again after a GenerationLost; vectors they held are gone.

        Args:
            repeated: it was lost again with nothing done in between: see whether a block of the data kills workers.

        Raises:
            WorkerFailure: no worker comes up, or one of the blocks kills each.
        """

    @property
    def renewal(self) -> bool:
        """Whether vectors should be committed now and given up, for a further worker to take its share of them."""

    def space(self, objective: Objective) -> Space:
        """Where the vectors of an objective's operators live."""

    def map_tasks(
        self, function: Task, items: Sequence[Any], done: Callable[[int, Any], None] | None = None
    ) -> list[Any]:
        """``function(item)`` of every item, in the order of the items; each runs on one worker.

        ``function`` is pure and importable by name: a task whose worker died is done again on another. ``done`` is told
        index and result of each task as it ends, in the order in which they end.
        """


def check_given(objective: object, pool: object) -> None:
    """Raise InputError where an objective or a pool is something else."""
    if not isinstance(objective, Objective):
        given = objective.__name__ if isinstance(objective, type) else type(objective).__name__
        raise InputError(f"an Objective is needed, not {given}; make one with Objective(model, data, loss)")
    if pool is not None and (isinstance(pool, type) or not callable(getattr(pool, "map_blocks", None))):
        raise InputError(f"pool={pool!r} is no Pool; use `with Pool(...) as pool:`, or leave it out")
