"""Small networks with samples in two blocks, so that there are few operations to pretend."""

from __future__ import annotations

import numpy as np
import torch

from distlandscape.data import BlockStore
from distlandscape.models import build_model
from distlandscape.objective import Objective

RESNET = {"input_shape": (3, 8, 8), "outputs": 4, "depth": 8}  # a factory given by its path takes all of it here
NETS = {
    "mlp": ("mlp", (6,), {"hidden": [5]}, {}),
    "cnn": ("cnn", (3, 8, 8), {"channels": [3, 4], "norm": "batch"}, {}),
    "cnn by its batch": ("cnn", (3, 8, 8), {"channels": [3], "norm": "batch"}, {"norm": "batch", "norm_samples": 8}),
    "resnet": ("distlandscape.models.residual:cifar_resnet", (3, 8, 8), RESNET, {}),
    "vit": ("vit", (3, 8, 8), {"dim": 8, "depth": 1, "heads": 2}, {}),
}


def build(name, samples=40, blocks=2):
    """An objective, with the statistics a trained net would have."""
    kind, shape, options, settings = NETS[name]
    rng = np.random.default_rng(0)
    images = len(shape) == 3
    x = rng.integers(0, 256, (samples, *shape), "u1") if images else rng.standard_normal((samples, *shape), "f4")
    net = build_model(kind, shape, 4, options, seed=0)
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean += torch.linspace(-0.5, 0.5, module.num_features)
            module.running_var *= torch.linspace(0.5, 2, module.num_features)
    data = BlockStore.from_arrays(x, rng.integers(0, 4, samples), blocks=blocks)
    return Objective(net, data, **settings)
