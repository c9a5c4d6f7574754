"""Small nets of every kind of layer users bring, for the dense oracles."""

from __future__ import annotations

import torch
from torch import nn

C = 3


class Skip(nn.Module):
    """A residual block: two convolutions with normalisation, and a way around them."""

    def __init__(self, channels, norm):
        super().__init__()
        self.one, self.two = (nn.Conv2d(channels, channels, 3, padding=1, bias=False) for _ in range(2))
        self.norm_one, self.norm_two = norm(channels), norm(channels)

    def forward(self, x):
        return (x + self.norm_two(self.two(self.norm_one(self.one(x)).tanh()))).relu()


class Attention(nn.Module):
    """Torch's own attention over the rows of a sample, with its fused kernels."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Linear(4, 6)
        self.attend = nn.MultiheadAttention(6, 2, dropout=0.2, batch_first=True)
        self.norm = nn.LayerNorm(6)
        self.head = nn.Linear(6, C)

    def forward(self, x):
        h = self.embed(x)
        return self.head(self.norm(h + self.attend(h, h, h, need_weights=False)[0]).mean(1))


class Encoder(nn.Module):
    """Torch's transformer layer, which takes a fast path in eval mode where it can."""

    def __init__(self):
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(4, 2, 5, dropout=0.2, activation="gelu", batch_first=True)
        self.head = nn.Linear(4, C)

    def forward(self, x):
        return self.head(self.layer(x).flatten(1)[:, :4])


def mlp():
    return nn.Sequential(nn.Linear(5, 6), nn.GELU(), nn.Dropout(0.4), nn.Linear(6, 4), nn.Tanh(), nn.Linear(4, C))


def cnn():
    return nn.Sequential(
        nn.Conv2d(2, 3, 3), nn.ReLU(), nn.AvgPool2d(2), nn.Conv2d(3, 4, 2), nn.Tanh(), nn.Flatten(), nn.Linear(4, C)
    )


def _residual(norm):
    return nn.Sequential(
        nn.Conv2d(2, 3, 3, bias=False), norm(3), Skip(3, norm), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, C)
    )


def batch_norm():
    """A residual net whose running statistics are those of no batch, with a BatchNorm1d at the end."""
    net = nn.Sequential(*_residual(nn.BatchNorm2d), nn.BatchNorm1d(C))
    for module in net.modules():
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
            module.running_mean.normal_(std=0.3)
            module.running_var.uniform_(0.5, 2)
            nn.init.normal_(module.weight, 1, 0.3)
            nn.init.normal_(module.bias, 0, 0.3)
    return net


def group_norm():
    return _residual(lambda channels: nn.GroupNorm(3, channels))


def layer_norm():
    return nn.Sequential(nn.Linear(5, 6), nn.LayerNorm(6), nn.GELU(), nn.Linear(6, 4), nn.SiLU(), nn.Linear(4, C))


IMAGE, ROWS = (2, 5, 5), (3, 4)
NETS = {
    "mlp": (mlp, (5,), ["3.*"]),
    "cnn": (cnn, (2, 6, 6), ["*weight"]),
    "batch_norm": (batch_norm, IMAGE, ["2.*", "1.weight"]),
    "group_norm": (group_norm, IMAGE, ["2"]),
    "layer_norm": (layer_norm, (5,), ["1.*", "5.*"]),
    "attention": (Attention, ROWS, ["attend"]),
    "encoder": (Encoder, ROWS, ["layer.self_attn*", "layer.norm1.*"]),
}


def make(name):
    """The net, the shape of a sample, and patterns that choose some of its parameters."""
    factory, shape, some = NETS[name]
    torch.manual_seed(3)
    return factory().train(), shape, some
