"""A linear model whose logits and logit gradients are planted: data drawn from the random model, exactly H = G."""

from __future__ import annotations

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn

from distlandscape.theory.softmax import softmax

C, N, D = 6, 150, 240
SIGMA_E = 0.5
SIGMA_Z = (0.4, 0.8, 1.6, 4.0, 10.0)


class Planted(nn.Module):
    """z = gain · b + (c + E) θ at θ = 0: b and E come as the sample, c and gain as weights that are no parameters."""

    def __init__(self, classes: int, dim: int) -> None:
        super().__init__()
        self.classes = classes
        self.theta = nn.Parameter(torch.zeros(dim))
        self.c = nn.Parameter(torch.zeros(classes, dim))
        self.gain = nn.Parameter(torch.ones(1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        b, E = x[:, : self.classes], x[:, self.classes :].unflatten(1, self.c.shape)
        return self.gain * b + (E + self.c) @ self.theta


def planted(classes: int, dim: int) -> nn.Module:
    return Planted(classes, dim)


def write(folder, sigma_c: float, seed: int = 1):
    """Data and a folder of checkpoints with σ_c² ∝ √σ_z, for which λ_max of the model rises and falls."""
    rng = np.random.default_rng(seed)
    b, E = rng.standard_normal((N, C)), SIGMA_E * rng.standard_normal((N, C * D))
    p = softmax(1.6 * b)
    y = (p.cumsum(1) < rng.random((N, 1))).sum(1).clip(max=C - 1)
    np.savez(folder / "planted.npz", x=np.concatenate([b, E], 1).astype(np.float32), y=y)
    c = torch.from_numpy(rng.standard_normal((C, D))).float()
    (folder / "given").mkdir()
    for index, sigma_z in enumerate(SIGMA_Z):
        state = {"theta": torch.zeros(D), "c": sigma_c * sigma_z**0.25 * c, "gain": torch.tensor([sigma_z])}
        save_file(state, folder / "given" / f"step-{10**index:06d}.safetensors")
