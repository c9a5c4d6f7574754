"""Factories to be named by import path."""

import torch
from torch import nn

VALUE = 3


def linear(width=16, outputs=3):
    return nn.Sequential(nn.Flatten(), nn.Linear(width, outputs))


def dropout_net(width=16, outputs=3):
    return nn.Sequential(
        nn.Flatten(), nn.Linear(width, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, outputs)
    )


def no_module():
    return "a string"


def fails():
    raise RuntimeError("this factory\nfails in two lines")


def echo(**options):
    """A module that keeps what it was given."""
    module = nn.Linear(1, 1)
    module.options = options
    return module


class Wrapper(nn.Module):
    """A model whose own names begin as those of wrapped models do."""

    def __init__(self):
        super().__init__()
        self.module = nn.Linear(2, 3)

    def forward(self, x):
        return self.module(x)


def tied(width=16, outputs=3):
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.two = nn.Linear(width, width), nn.Linear(width, width)
            self.two.weight = self.one.weight
            self.last = nn.Linear(width, outputs)

        def forward(self, x):
            return self.last(self.two(self.one(x.flatten(1)).tanh()).tanh())

    return Tied()


class Sign(torch.autograd.Function):
    """A straight-through estimator, once differentiable."""

    @staticmethod
    def forward(ctx, x):
        return x.sign()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, slope):
        return slope


class Layer(nn.Linear):
    def __init__(self, width, outputs, change):
        super().__init__(width, outputs)
        self.change = change

    def forward(self, x):
        return super().forward(self.change(x.flatten(1))).tanh()

    @classmethod
    def plain(cls, width=16, outputs=3):
        return cls(width, outputs, nn.Identity())


def binary(width=16, outputs=3):
    return nn.Sequential(Layer(width, 8, nn.Identity()), Layer(8, outputs, Sign.apply))


def noisy(width=16, outputs=3):
    return Layer(width, outputs, nn.functional.dropout)


def centred(width=16, outputs=3):
    return Layer(width, outputs, lambda x: x - x.mean(0))


class Block(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels)
        self.conv2, self.bn2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x):
        identity = x
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        out += identity
        return self.relu(out)


class SmallResNet(nn.Module):
    """The habits of torchvision: attributes by name, activations in place, an addition in place."""

    def __init__(self, num_classes):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(1, 4, 3, 2, 1, bias=False), nn.BatchNorm2d(4)
        self.relu, self.maxpool = nn.ReLU(inplace=True), nn.MaxPool2d(2)
        self.layer1 = nn.Sequential(Block(4), Block(4))
        self.avgpool, self.fc = nn.AdaptiveAvgPool2d(1), nn.Linear(4, num_classes)

    def forward(self, x):
        x = self.layer1(self.maxpool(self.relu(self.bn1(self.conv1(x)))))
        return self.fc(torch.flatten(self.avgpool(x), 1))


def small_resnet(num_classes=1000):
    return SmallResNet(num_classes)


def branching(width=16, outputs=3):
    class Branching(nn.Module):
        """Its path depends on a value."""

        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(width, outputs)

        def forward(self, x):
            return self.layer(x) if x.sum() > 1e9 else 2 * self.layer(x)

    return Branching()


class Kink(nn.Module):
    """|z|^1.5: its gradient is finite everywhere, its second derivative is not at z = 0."""

    def __init__(self, width, outputs):
        super().__init__()
        self.linear = nn.Linear(width, outputs, bias=False)

    def forward(self, x):
        return self.linear(x).abs().pow(1.5)


def kink(width=4, outputs=3):
    return Kink(width, outputs)


class Fourier(nn.Module):
    """Complex weights beside real ones."""

    def __init__(self):
        super().__init__()
        self.turn, self.last = nn.Parameter(torch.randn(33, dtype=torch.cfloat)), nn.Linear(64, 10)

    def forward(self, x):
        return self.last(torch.fft.irfft(torch.fft.rfft(x.flatten(1)) * self.turn, n=64))


class TimeFirst(nn.Module):
    """A recurrence along the batch: batch_first was forgotten."""

    def __init__(self):
        super().__init__()
        self.rnn, self.last = nn.LSTM(8, 4), nn.Linear(4, 10)

    def forward(self, x):
        return self.last(self.rnn(x[:, 0])[0][:, -1])


class Loudest(nn.Module):
    """Divides by the largest feature of the batch."""

    def __init__(self):
        super().__init__()
        self.into, self.last = nn.Linear(64, 8), nn.Linear(8, 10)

    def forward(self, x):
        h = self.into(x.flatten(1))
        return self.last(h / h.abs().amax())


class Viewed(nn.Module):
    """A small CNN that flattens by ``view``, as most code does."""

    def __init__(self):
        super().__init__()
        self.conv, self.last = nn.Conv2d(1, 3, 3, stride=2), nn.Linear(27, 10)

    def forward(self, x):
        x = self.conv(x).tanh()
        return self.last(x.view(x.size(0), -1))


def frozen():
    """A trained head on a base that is not."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.Tanh(), nn.Linear(8, 10))
    model[1].requires_grad_(False)
    return model
