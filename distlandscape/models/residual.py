"""Residual networks in the form used for small images: a 3×3 stem, no pooling before the last layer."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor, nn

from distlandscape.errors import InputError
from distlandscape.models.parts import (
    checked_choice,
    checked_count,
    image_shape,
    make_activation,
    make_norm,
    scaled_channels,
)


class Subsample(nn.Module):
    """The shortcut without parameters: every second pixel, and zeros for the channels that are new."""

    def __init__(self, stride: int, new_channels: int) -> None:
        super().__init__()
        self.stride, self.new_channels = stride, new_channels

    def forward(self, x: Tensor) -> Tensor:
        """(n, c, h, w) to (n, c + new, h/stride, w/stride)."""
        before = self.new_channels // 2
        padding = (0, 0, 0, 0, before, self.new_channels - before)
        return nn.functional.pad(x[:, :, :: self.stride, :: self.stride], padding)


class BasicBlock(nn.Module):
    """Two 3×3 convolutions and a way around them (He et al. 2016, figure 2)."""

    def __init__(self, planes: int, out: int, stride: int, shortcut: str, norm: str, activation: str) -> None:
        super().__init__()
        self.conv1, self.norm1 = _conv(planes, out, 3, stride), make_norm(norm, out)
        self.conv2, self.norm2 = _conv(out, out, 3), make_norm(norm, out)
        self.activation = make_activation(activation)
        self.shortcut: nn.Module = nn.Identity()
        if (planes != out or stride != 1) and shortcut == "A":
            self.shortcut = Subsample(stride, out - planes)
        elif planes != out or stride != 1:
            self.shortcut = nn.Sequential(_conv(planes, out, 1, stride), make_norm(norm, out))

    def forward(self, x: Tensor) -> Tensor:
        """Images to images."""
        y = self.norm2(self.conv2(self.activation(self.norm1(self.conv1(x)))))
        out: Tensor = self.activation(y + self.shortcut(x))
        return out


class PreactivationBlock(nn.Module):
    """Normalise, activate, convolve, twice; the shortcut starts after the first activation where shapes change."""

    def __init__(self, planes: int, out: int, stride: int, norm: str, activation: str) -> None:
        super().__init__()
        self.norm1, self.conv1 = make_norm(norm, planes), _conv(planes, out, 3, stride)
        self.norm2, self.conv2 = make_norm(norm, out), _conv(out, out, 3)
        self.activation = make_activation(activation)
        self.projection = _conv(planes, out, 1, stride) if planes != out or stride != 1 else None

    def forward(self, x: Tensor) -> Tensor:
        """Images to images."""
        h = self.activation(self.norm1(x))
        way_around = x if self.projection is None else self.projection(h)
        out: Tensor = way_around + self.conv2(self.activation(self.norm2(self.conv1(h))))
        return out


def cifar_resnet(
    input_shape: Sequence[int],
    outputs: int,
    depth: int,
    width: float = 1,
    norm: str = "batch",
    activation: str = "relu",
    shortcut: str = "A",
) -> nn.Sequential:
    """Three stages of (depth − 2)/6 basic blocks with 16, 32 and 64 channels (He et al. 2016, section 4.2).

    Args:
        input_shape: (channels, height, width) of one sample.
        outputs: number of logits C.
        depth: 6n + 2.
        width: multiplies the channels.
        norm: "batch", "group" (of channels, at most 8 groups), "layer" or "none".
        activation: "relu", "tanh" or "gelu".
        shortcut: where shapes change, "A": subsampling and zeros, as in the paper; "B": a 1×1 convolution.

    Raises:
        InputError: samples that are no images, or options outside these.
    """
    planes, _, _ = image_shape("a residual network", input_shape)
    checked_choice("shortcut", shortcut, ("A", "B"))
    channels = scaled_channels((16, 32, 64), width)
    layers = [_conv(planes, channels[0], 3), make_norm(norm, channels[0]), make_activation(activation)]

    def block(planes: int, out: int, stride: int) -> nn.Module:
        return BasicBlock(planes, out, stride, shortcut, norm, activation)

    layers += _stages(channels[0], channels, _per_stage(depth, 2), block)
    return _initialised(nn.Sequential(*layers, *_head(channels[-1], outputs)))


def of_depth(depth: int) -> Callable[..., nn.Module]:
    """The factory of the CIFAR residual network of one depth."""

    def factory(
        input_shape: Sequence[int],
        outputs: int,
        width: float = 1,
        norm: str = "batch",
        activation: str = "relu",
        shortcut: str = "A",
    ) -> nn.Module:
        return cifar_resnet(input_shape, outputs, depth, width, norm, activation, shortcut)

    return factory


def wide_resnet(
    input_shape: Sequence[int],
    outputs: int,
    depth: int = 16,
    width: float = 4,
    norm: str = "batch",
    activation: str = "relu",
) -> nn.Sequential:
    """Wide residual network WRN-depth-width of pre-activation blocks, without dropout (Zagoruyko & Komodakis 2016).

    Args:
        input_shape: (channels, height, width) of one sample.
        outputs: number of logits C.
        depth: 6n + 4.
        width: multiplies the channels 16, 32, 64 of the stages.
        norm: "batch", "group", "layer" or "none".
        activation: "relu", "tanh" or "gelu".

    Raises:
        InputError: samples that are no images, or options outside these.
    """
    planes, _, _ = image_shape("a residual network", input_shape)
    channels = scaled_channels((16, 32, 64), width)

    def block(planes: int, out: int, stride: int) -> nn.Module:
        return PreactivationBlock(planes, out, stride, norm, activation)

    layers: list[nn.Module] = [_conv(planes, 16, 3), *_stages(16, channels, _per_stage(depth, 4), block)]
    layers += [make_norm(norm, channels[-1]), make_activation(activation)]
    return _initialised(nn.Sequential(*layers, *_head(channels[-1], outputs)))


def resnet18(
    input_shape: Sequence[int],
    outputs: int,
    width: float = 1,
    norm: str = "batch",
    activation: str = "relu",
) -> nn.Sequential:
    """ResNet-18 with a 3×3 stem without pooling: four stages of two basic blocks, 64 to 512 channels.

    Args:
        input_shape: (channels, height, width) of one sample.
        outputs: number of logits C.
        width: multiplies the channels.
        norm: "batch", "group", "layer" or "none".
        activation: "relu", "tanh" or "gelu".

    Raises:
        InputError: samples that are no images, or options outside these.
    """
    planes, _, _ = image_shape("resnet18", input_shape)
    channels = scaled_channels((64, 128, 256, 512), width)
    layers = [_conv(planes, channels[0], 3), make_norm(norm, channels[0]), make_activation(activation)]

    def block(planes: int, out: int, stride: int) -> nn.Module:
        return BasicBlock(planes, out, stride, "B", norm, activation)

    layers += _stages(channels[0], channels, 2, block)
    return _initialised(nn.Sequential(*layers, *_head(channels[-1], outputs)))


def _conv(planes: int, out: int, size: int, stride: int = 1) -> nn.Module:
    return nn.Conv2d(planes, out, size, stride, padding=size // 2, bias=False)


def _stages(
    planes: int, channels: Sequence[int], blocks: int, block: Callable[[int, int, int], nn.Module]
) -> list[nn.Module]:
    """One Sequential a stage; every stage but the first begins by halving the image."""
    stages: list[nn.Module] = []
    for stage, out in enumerate(channels):
        made = []
        for index in range(blocks):
            made.append(block(planes, out, 2 if stage and not index else 1))
            planes = out
        stages.append(nn.Sequential(*made))
    return stages


def _head(planes: int, outputs: int) -> list[nn.Module]:
    return [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(planes, outputs)]


def _per_stage(depth: int, rest: int) -> int:
    blocks, remainder = divmod(checked_count("depth", depth) - rest, 6)
    if remainder or blocks < 1:
        raise InputError(f"model option depth={depth} must be 6n + {rest}, such as {6 * 3 + rest}; correct it")
    return blocks


def _initialised(model: nn.Sequential) -> nn.Sequential:
    """Convolutions by He et al. 2015 for what goes out of them; the rest is torch's default."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    return model
