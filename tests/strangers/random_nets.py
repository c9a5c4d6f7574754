"""Random small nets: layers of torch.nn in random order, each built for the shape it meets, some for another one."""

from __future__ import annotations

import random

import torch
from torch import nn

from tests.strangers.rows import quiet

C, N = 3, 11
SHAPES = ((5,), (4, 3), (2, 5, 5), (1, 4, 6))


class View(nn.Module):
    """Flattens as most code does, which fails for rows that are not in order."""

    def forward(self, x):
        return x.view(x.size(0), -1)


class Last(nn.Module):
    """A recurrent layer's outputs alone."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x):
        return self.layer(x)[0]


class SelfAttention(nn.Module):
    def __init__(self, width, batch_first):
        super().__init__()
        self.attend = nn.MultiheadAttention(width, 1, batch_first=batch_first)

    def forward(self, x):
        return x + self.attend(x, x, x)[0]


class Skip(nn.Module):
    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x):
        return x + self.layer(x)


POINTWISE = (
    nn.Tanh,
    nn.Sigmoid,
    nn.ReLU,
    nn.GELU,
    nn.SiLU,
    nn.Mish,
    nn.ELU,
    nn.CELU,
    nn.SELU,
    nn.Softplus,
    nn.LeakyReLU,
    nn.LogSigmoid,
    nn.Hardswish,
    nn.Hardsigmoid,
    nn.Hardtanh,
    nn.Hardshrink,
    nn.Softshrink,
    nn.Tanhshrink,
    nn.Softsign,
    nn.RReLU,
    nn.PReLU,
    nn.ReLU6,
    lambda: nn.ReLU(inplace=True),
    lambda: nn.Dropout(0.3),
    lambda: nn.Softmax(dim=1),
    lambda: nn.Softmin(dim=-1),
    lambda: nn.AlphaDropout(0.2),
)


def _statistics(norm):
    """Statistics that are those of no batch."""
    if norm.running_mean is not None:
        norm.running_mean.normal_(std=0.3)
        norm.running_var.uniform_(0.5, 2)
    return norm


def _for_rows(f):
    return (
        lambda: nn.Linear(f, 4),
        lambda: nn.Linear(f, 3, bias=False),
        lambda: _statistics(nn.BatchNorm1d(f)),
        lambda: nn.LayerNorm(f),
        lambda: Skip(nn.Linear(f, f)),
        lambda: nn.GLU() if f % 2 == 0 else nn.RMSNorm(f),
        lambda: nn.Unflatten(1, (1, f)),
        lambda: nn.Unflatten(1, (1, 1, f)),
        lambda: nn.utils.parametrizations.weight_norm(nn.Linear(f, 3)),
        lambda: quiet(nn.utils.weight_norm, nn.Linear(f, 3)),
    )


def _for_series(t, f):
    return (
        lambda: nn.Linear(f, 3),
        lambda: Last(nn.LSTM(f, 3, batch_first=True)),
        lambda: Last(nn.GRU(f, 2, batch_first=True, bidirectional=True)),
        lambda: Last(nn.RNN(f, 3, batch_first=False)),
        lambda: SelfAttention(f, True),
        lambda: SelfAttention(f, False),
        lambda: nn.TransformerEncoderLayer(f, 1, 3, batch_first=True, norm_first=True),
        lambda: nn.TransformerEncoderLayer(f, 1, 3, batch_first=False),
        lambda: nn.Conv1d(t, 3, 2),
        lambda: nn.Conv1d(t, t, 3, padding="same", groups=t),
        lambda: _statistics(nn.BatchNorm1d(t)),
        lambda: nn.BatchNorm1d(t, track_running_stats=False),
        lambda: nn.LayerNorm([t, f]),
        lambda: nn.AdaptiveAvgPool1d(2),
        lambda: nn.AdaptiveMaxPool1d(2),
        lambda: nn.MaxPool1d(2),
        nn.Flatten,
        View,
    )


def _for_images(c, h, w):
    return (
        lambda: nn.Conv2d(c, 3, 2),
        lambda: nn.Conv2d(c, 2, 3, padding=1, padding_mode="circular"),
        lambda: nn.Conv2d(c, 2, 3, padding="same", bias=False),
        lambda: nn.Conv2d(c, c, 3, padding=2, dilation=2, groups=c),
        lambda: nn.Conv2d(c, 3, 3, stride=2, padding=1),
        lambda: nn.ConvTranspose2d(c, 2, 2),
        lambda: _statistics(nn.BatchNorm2d(c)),
        lambda: _statistics(nn.BatchNorm2d(c, affine=False)),
        lambda: nn.GroupNorm(1, c),
        lambda: nn.InstanceNorm2d(c, affine=True),
        lambda: nn.LocalResponseNorm(2),
        lambda: nn.MaxPool2d(2),
        lambda: nn.AvgPool2d(2, ceil_mode=True),
        lambda: nn.AdaptiveAvgPool2d(2),
        lambda: nn.AdaptiveMaxPool2d(2),
        lambda: nn.LPPool2d(2, 2),
        lambda: nn.FractionalMaxPool2d(2, output_size=2),
        lambda: nn.Dropout2d(0.3),
        lambda: nn.Upsample(scale_factor=2, mode="bilinear"),
        lambda: nn.ZeroPad2d(1),
        lambda: nn.ReflectionPad2d(1),
        nn.Softmax2d,
        lambda: nn.Unfold(2),
        lambda: nn.Flatten(2),
        View,
        nn.Flatten,
    )


def random_net(seed):
    """A net, the shape of its samples, and whether images come in channels-last order; float64."""
    draw = random.Random(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        shape = draw.choice(SHAPES)
        x, layers = torch.randn(2, *shape), nn.Sequential()
        for _ in range(draw.randint(1, 5)):
            met = tuple(x.shape[1:]) if draw.random() > 0.03 else draw.choice(SHAPES)
            kinds = {1: _for_rows, 2: _for_series, 3: _for_images}[len(met)](*met)
            layer = draw.choice(POINTWISE if draw.random() < 0.35 else kinds)().eval()
            try:
                with torch.no_grad():
                    after = layer(x.clone())
            except Exception:  # a layer that does not fit: it stays, now and then
                if draw.random() < 0.1:
                    layers.append(layer)
                continue
            if after[0].numel() <= 60 and after.ndim in (2, 3, 4):
                layers.append(layer)
                x = after
        if x.ndim > 2:
            layers.append(draw.choice((View, nn.Flatten))())
        layers.append(nn.Linear(x[0].numel(), C))
        if draw.random() < 0.2:
            layers.append(draw.choice(POINTWISE)())
    net = layers.double()
    last = len(shape) == 3 and draw.random() < 0.5
    return (net.to(memory_format=torch.channels_last) if last else net), shape, last
