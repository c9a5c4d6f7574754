"""The order of samples: mini-batches drawn without replacement, a function of the seed and the step."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt


def batches(samples: int, size: int, seed: int, start: int = 0) -> Iterator[npt.NDArray[np.int64]]:
    """Positions of each mini-batch from the step ``start`` on, epoch after epoch, without end.

    What is left of an epoch below one batch is dropped from training only. Starting late costs one permutation for
    each epoch passed over.
    """
    size = min(size, samples)
    generator = np.random.Generator(np.random.Philox(seed))
    epochs, first = divmod(start, samples // size)
    for _ in range(epochs):
        generator.permutation(samples)
    while True:
        order = generator.permutation(samples)
        for place in range(first * size, samples - size + 1, size):
            yield order[place : place + size]
        first = 0
