"""The errors a user meets, each a sentence with its remedy."""


class InputError(ValueError):
    """Something the user gave is wrong; raised before any worker starts (exit code 2).

    The message is one sentence: what was wrong, what was expected, what to do.
    """


class RunLockedError(InputError):
    """Another process holds the lease of this run directory (exit code 2)."""


class TrainingError(InputError):
    """Training cannot go on with these settings, and a resume would end alike (exit code 2)."""


class WorkerFailure(RuntimeError):
    """Workers kept dying on the same piece of work; the run stops, nothing is lost (exit code 1)."""


class GenerationLost(WorkerFailure):
    """A worker that held slices of vectors is gone, and the vectors with it; what was committed is not."""


class Interrupted(RuntimeError):
    """The run was asked to stop (SIGINT, SIGTERM) and can be resumed (exit code 130)."""
