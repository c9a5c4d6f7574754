"""Small convolutional networks."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from distlandscape.models.parts import (
    NORMS,
    checked_choice,
    checked_widths,
    image_shape,
    make_activation,
    make_norm,
)


def cnn(
    input_shape: Sequence[int],
    outputs: int,
    channels: Sequence[int] = (8, 16),
    activation: str = "relu",
    norm: str = "none",
) -> nn.Sequential:
    """Strided 3×3 convolutions (each halves the image) and one linear layer.

    Args:
        input_shape: (channels, height, width) of one sample.
        outputs: number of logits C.
        channels: output channels of each convolution.
        activation: "relu", "tanh" or "gelu".
        norm: "batch", "group" (of channels, at most 8 groups), "layer" or "none", before each activation.

    Raises:
        InputError: samples that are no images, a width below 1, or an unknown activation or norm.
    """
    planes, height, width = image_shape("cnn", input_shape)
    checked_choice("norm", norm, list(NORMS))
    layers: list[nn.Module] = []
    for out in checked_widths("channels", channels):
        layers.append(nn.Conv2d(planes, out, 3, stride=2, padding=1))
        if norm != "none":
            layers.append(make_norm(norm, out))
        layers.append(make_activation(activation))
        planes, height, width = out, (height + 1) // 2, (width + 1) // 2
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(planes * height * width, outputs))


def lenet(input_shape: Sequence[int], outputs: int, activation: str = "tanh") -> nn.Sequential:
    """LeNet-5 with average pooling and a fully connected output (LeCun et al. 1998).

    Images of up to 28×28 are padded by 2; larger ones are taken as they are.

    Args:
        input_shape: (channels, height, width) of one sample, at least 12×12.
        outputs: number of logits C.
        activation: "relu", "tanh" or "gelu".

    Raises:
        InputError: samples that are no images or too small, or an unknown activation.
    """
    planes, height, width = image_shape("lenet", input_shape, 12)
    padding = 2 if min(height, width) <= 28 else 0
    height, width = ((side + 2 * padding - 4) // 2 for side in (height, width))
    height, width = ((side - 4) // 2 for side in (height, width))
    return nn.Sequential(
        nn.Conv2d(planes, 6, 5, padding=padding),
        make_activation(activation),
        nn.AvgPool2d(2),
        nn.Conv2d(6, 16, 5),
        make_activation(activation),
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.Linear(16 * height * width, 120),
        make_activation(activation),
        nn.Linear(120, 84),
        make_activation(activation),
        nn.Linear(84, outputs),
    )
