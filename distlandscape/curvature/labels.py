"""Targets drawn from the model's own distribution: a pure function of seed, sample index and logits.

So the draws do not depend on how the data are cut, nor on the number of workers.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor


def sampled_targets(likelihood: str | None, z: Tensor, first: int, seed: int) -> Tensor:
    """One draw a sample: labels (n,) with probabilities softmax(z), or targets (n, C) from N(z, ½).

    Args:
        likelihood: "categorical" or "normal".
        z: logits (n, C) of the samples first, first + 1, …
        first: index of the first sample.
        seed: of the counter-based generator.
    """
    n, C = z.shape
    if likelihood == "normal":
        pairs = _uniforms(seed, 2 * first * C, 2 * n * C).reshape(n, C, 2)
        noise = np.sqrt(-2 * np.log1p(-pairs[..., 0])) * np.cos(2 * np.pi * pairs[..., 1])  # Box–Muller
        return z + torch.from_numpy(noise * np.sqrt(0.5)).to(z)
    u = torch.from_numpy(_uniforms(seed, first, n)).to(z.device)
    edges = z.double().softmax(1).cumsum(1)
    thresholds: Tensor = u[:, None] * edges[:, -1:]
    return torch.searchsorted(edges, thresholds, right=True)[:, 0].clamp_(max=C - 1)


def _uniforms(seed: int, start: int, count: int) -> npt.NDArray[np.float64]:
    """Numbers start … start + count − 1 of the stream, uniform in [0, 1): four words a step of Philox's counter."""
    skipped = start % 4
    words = np.random.Philox(key=seed, counter=start // 4).random_raw(skipped + count)[skipped:]
    return (words >> np.uint64(11)).astype(np.float64) * 2.0**-53
