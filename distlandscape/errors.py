"""The errors a user meets, each a sentence with its remedy."""


class InputError(ValueError):
    """Something the user gave is wrong; raised before any worker starts (exit code 2).

    The message is one sentence: what was wrong, what was expected, what to do.
    """


class RunLockedError(InputError):
    """Another process holds the lease of this run directory (exit code 2)."""


class TrainingError(InputError):
    """Training cannot go on with these settings, and a resume would end alike (exit code 2)."""


class WriteFailed(OSError):
    """A file could not be written; under its name stands what stood there before (exit code 1).

    Args:
        number: the system's number of the error, None where a library gives none.
        reason: the system's words for it.
        path: the file.
    """

    def __init__(self, number: int | None, reason: str, path: str) -> None:
        super().__init__(number, reason, path)

    def __str__(self) -> str:
        return (
            f"{self.filename} could not be written ({self.strerror}); what was written before is whole: make room on"
            " its disk, or see to what else is wrong with it, then resume the run"
        )


class WorkerFailure(RuntimeError):
    """Workers kept dying on the same piece of work; the run stops, nothing is lost (exit code 1)."""


class GenerationLost(WorkerFailure):
    """A worker that held slices of vectors is gone, and the vectors with it; what was committed is not.

    Attributes:
        blamed: whether the work itself may have killed it: its machine still stands.
    """

    def __init__(self, text: str, blamed: bool = True) -> None:
        super().__init__(text)
        self.blamed = blamed


class OutOfMemory(RuntimeError):
    """A micro-batch did not fit into memory; the pass starts again with a smaller one."""

    def __init__(self, samples: int) -> None:
        super().__init__(samples)
        self.samples = samples

    def __str__(self) -> str:
        return f"out of memory with {self.samples} samples at a time"


class Interrupted(BaseException):
    """The run was asked to stop and can be resumed (exit code 130); as KeyboardInterrupt, it is no Exception."""
