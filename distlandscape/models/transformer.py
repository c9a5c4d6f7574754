"""A small vision transformer whose every operation can be differentiated twice, on every device.

Shapes: n samples, T tokens, D width of a token, h heads.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from distlandscape.errors import InputError
from distlandscape.models.parts import checked_choice, checked_count, image_shape


class Attention(nn.Module):
    """Softmax(QKᵀ/√d) V over h heads, written out: fused kernels have no second derivative."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.inward, self.outward = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """(n, T, D) to (n, T, D)."""
        n, T, D = x.shape
        q, k, v = self.inward(x).view(n, T, 3, self.heads, D // self.heads).permute(2, 0, 3, 1, 4)
        weights = (q @ k.transpose(-2, -1) / math.sqrt(D // self.heads)).softmax(-1)
        out: Tensor = self.outward((weights @ v).transpose(1, 2).reshape(n, T, D))
        return out


class EncoderBlock(nn.Module):
    """Attention and a two-layer network, each behind a LayerNorm and with a way around it."""

    def __init__(self, dim: int, heads: int, mlp_ratio: int) -> None:
        super().__init__()
        self.norm1, self.attention, self.norm2 = nn.LayerNorm(dim), Attention(dim, heads), nn.LayerNorm(dim)
        self.mlp = nn.Sequential(nn.Linear(dim, mlp_ratio * dim), nn.GELU(), nn.Linear(mlp_ratio * dim, dim))

    def forward(self, x: Tensor) -> Tensor:
        """(n, T, D) to (n, T, D)."""
        x = x + self.attention(self.norm1(x))
        out: Tensor = x + self.mlp(self.norm2(x))
        return out


class VisionTransformer(nn.Module):
    """Patches to tokens, encoder blocks, mean or class token to logits."""

    def __init__(
        self,
        shape: tuple[int, int, int],
        outputs: int,
        patch: int,
        dim: int,
        depth: int,
        heads: int,
        mlp_ratio: int,
        class_token: bool,
    ) -> None:
        super().__init__()
        planes, height, width = shape
        tokens = (height // patch) * (width // patch) + class_token
        self.patches = nn.Conv2d(planes, dim, patch, stride=patch)
        self.token = nn.Parameter(torch.zeros(1, 1, dim)) if class_token else None
        self.position = nn.Parameter(torch.zeros(1, tokens, dim))
        self.blocks = nn.Sequential(*(EncoderBlock(dim, heads, mlp_ratio) for _ in range(depth)))
        self.norm, self.head = nn.LayerNorm(dim), nn.Linear(dim, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """(n, channels, height, width) to logits (n, C)."""
        tokens = self.patches(x).flatten(2).transpose(1, 2)
        if self.token is not None:
            tokens = torch.cat([self.token.expand(len(x), -1, -1), tokens], 1)
        h = self.norm(self.blocks(tokens + self.position))
        out: Tensor = self.head(h.mean(1) if self.token is None else h[:, 0])
        return out


def vit(
    input_shape: Sequence[int],
    outputs: int,
    patch: int = 4,
    dim: int = 64,
    depth: int = 4,
    heads: int = 4,
    mlp_ratio: int = 2,
    pool: str = "mean",
) -> VisionTransformer:
    """A small pre-norm vision transformer (Dosovitskiy et al. 2021) with learned positions and GELU.

    Args:
        input_shape: (channels, height, width) of one sample; the patch divides height and width.
        outputs: number of logits C.
        patch: pixels a side of a patch.
        dim: width of a token; the number of heads divides it.
        depth: encoder blocks.
        heads: attention heads.
        mlp_ratio: width of the hidden layers over that of a token.
        pool: "mean" of all tokens, or "token": one of its own.

    Raises:
        InputError: samples that are no images, or sizes that do not divide.
    """
    shape = image_shape("vit", input_shape)
    sizes = {"patch": patch, "dim": dim, "depth": depth, "heads": heads, "mlp_ratio": mlp_ratio}
    for name, size in sizes.items():
        checked_count(name, size)
    checked_choice("pool", pool, ("mean", "token"))
    if shape[1] % patch or shape[2] % patch:
        raise InputError(f"model option patch={patch} does not divide images of {shape[1]}×{shape[2]}; choose another")
    if dim % heads:
        raise InputError(f"model option heads={heads} does not divide dim={dim}; choose another")
    model = VisionTransformer(shape, outputs, patch, dim, depth, heads, mlp_ratio, pool == "token")
    for name, parameter in model.named_parameters():
        if parameter.ndim > 1:
            nn.init.trunc_normal_(parameter, std=0.02)
        elif name.endswith("bias"):
            nn.init.zeros_(parameter)
    return model
