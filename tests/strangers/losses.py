"""Losses and targets of every shape."""

from __future__ import annotations

import torch
from torch import nn

from tests.strangers.rows import C, Row, flat, mlp, seeded

X, Y = flat()
MULTI_HOT = torch.rand(len(X), C, generator=torch.Generator().manual_seed(5)) > 0.5
SOFT = torch.rand(len(X), C, generator=torch.Generator().manual_seed(6)).softmax(1).double()
IGNORED = torch.where(torch.arange(len(Y)) < 4, -100, Y)
WEIGHTS = torch.tensor([1.0, 2.0, 5.0], dtype=torch.float64)


def bce(z, t):
    return nn.functional.binary_cross_entropy_with_logits(z, t.to(z.dtype), reduction="none").mean(1)


def bce_strict(z, t):
    """Does not convert its targets."""
    return nn.functional.binary_cross_entropy_with_logits(z, t, reduction="none").mean(1)


def bce_one(z, t):
    return nn.functional.binary_cross_entropy_with_logits(z[:, 0], t.to(z.dtype), reduction="none")


def soft(z, t):
    return nn.functional.cross_entropy(z, t, reduction="none")


def weighted(z, t):
    return nn.functional.cross_entropy(z, t, weight=WEIGHTS, reduction="none")


def contrastive(z, y):
    """Every sample against all of its batch."""
    z = nn.functional.normalize(z, dim=1)
    return nn.functional.cross_entropy(z @ z.T, torch.arange(len(z)), reduction="none")


def balanced(z, y):
    """Weights counted in the batch."""
    counts = torch.bincount(y, minlength=C)[y]
    return nn.functional.cross_entropy(z, y, reduction="none") * len(y) / counts


def mean_of_batch(z, y):
    return nn.functional.cross_entropy(z, y).expand(len(z))


def writes_targets(z, y):
    """Shifts its targets in place."""
    y -= 1
    return nn.functional.cross_entropy(z, y.clamp(min=0), reduction="none")


def counts_down(z, y):
    """Writes into both, so that it would give something else the next time."""
    y -= 1
    z -= z.detach().amax(1, keepdim=True)
    return nn.functional.cross_entropy(z, y.clamp(min=0), reduction="none")


def counted_down(z, y):
    return nn.functional.cross_entropy(z, (y - 1).clamp(min=0), reduction="none")


class WrongFocal(torch.autograd.Function):
    """A fused loss whose backward is right, and cannot be differentiated rightly."""

    @staticmethod
    def forward(ctx, z, y):
        p = z.softmax(1)
        ctx.slope = p - nn.functional.one_hot(y, z.shape[1])
        return nn.functional.cross_entropy(z, y, reduction="none")

    @staticmethod
    def backward(ctx, g):
        return g[:, None] * ctx.slope, None


class Tempered(nn.Module):
    """A loss with a weight of its own, in float32, and a dropout."""

    def __init__(self):
        super().__init__()
        self.scale, self.drop = nn.Parameter(torch.tensor(0.7)), nn.Dropout(0.5)
        self.register_buffer("weight", torch.tensor([1.0, 2.0, 5.0]))

    def forward(self, z, y):
        return nn.functional.cross_entropy(self.drop(z) * self.scale, y, weight=self.weight, reduction="none")


def tempered(z, y):
    scale = torch.tensor(0.7).double()  # as it is in float32
    return nn.functional.cross_entropy(z * scale, y, weight=WEIGHTS, reduction="none")


class Counting:
    """Gives something else each time."""

    calls = 0

    def __call__(self, z, y):
        self.calls += 1
        return nn.functional.cross_entropy(z, y, reduction="none") * (1 + 1e-3 * self.calls)


def errors(z, y):
    return (z.argmax(1) != y).double()


def detached(z, y):
    return nn.functional.cross_entropy(z.detach(), y, reduction="none")


def focal(z, y):
    p = z.softmax(1).gather(1, y[:, None])[:, 0]
    return -((1 - p) ** 2) * p.log()


def linear(z, y):
    return z.gather(1, y[:, None])[:, 0]


def squared(z, y):
    return (z - nn.functional.one_hot(y, C)).square().sum(1)


def logarithm_of_zero(z, y):
    return (z * 0).sum(1).log()


def fails(z, y):
    raise KeyError("target")


class PerToken(nn.Module):
    """A language model whose logits are (n, T, V)."""

    def __init__(self, flattened):
        super().__init__()
        self.embed, self.rnn, self.last = nn.Embedding(9, 3), nn.GRU(3, 4, batch_first=True), nn.Linear(4, 6)
        self.flattened = flattened

    def forward(self, i):
        z = self.last(self.rnn(self.embed(i))[0])
        return z.flatten(1) if self.flattened else z


TOKENS = torch.randint(0, 9, (len(X), 4), generator=torch.Generator().manual_seed(7))
NEXT = torch.randint(0, 6, (len(X), 4), generator=torch.Generator().manual_seed(8))
NEXT[:, 3] = -100


def token_loss(z, t):
    each = nn.functional.cross_entropy(z.view(len(z), 4, 6).transpose(1, 2), t, reduction="none", ignore_index=-100)
    return each.sum(1) / (t != -100).sum(1)


ROWS = {
    "labels": Row(mlp(), (X, Y)),
    "labels, mse": Row(mlp(), (X, Y), "mse", oracle_loss=squared),
    "labels uint8": Row(mlp(), (X, Y.byte())),
    "labels int32": Row(mlp(), (X, Y.int())),
    "labels real": Row(mlp(), (X, Y.float()), sentence="whole-number labels"),
    "labels of one column": Row(mlp(), (X, Y[:, None]), sentence=r"give y\[:, 0\]"),
    "labels from 1": Row(mlp(), (X, Y + 1), sentence="labels run from 1 to 3.*0…2"),
    "labels that are ignored, by name": Row(mlp(), (X, IGNORED), sentence="labels run from -100"),
    "labels that are ignored, own loss": Row(mlp(), (X, IGNORED), soft, oracle_loss=soft),
    "one output, cross_entropy": Row(mlp(outputs=1), (X, Y * 0), sentence="1 output, whose cross_entropy is 0"),
    "multi-hot bool": Row(mlp(), (X, MULTI_HOT), bce, oracle_loss=bce),
    "multi-hot uint8": Row(mlp(), (X, MULTI_HOT.byte()), bce, oracle_loss=bce),
    "multi-hot int64": Row(mlp(), (X, MULTI_HOT.long()), bce, oracle_loss=bce),
    "multi-hot int64, strict": Row(mlp(), (X, MULTI_HOT.long()), bce_strict, sentence="cannot be computed from these"),
    "one logit": Row(mlp(outputs=1), (X, Y.clamp(max=1)), bce_one, oracle_loss=bce_one),
    "soft labels, own loss": Row(mlp(), (X, SOFT), soft, oracle_loss=soft),
    "soft labels, by name": Row(mlp(), (X, SOFT), sentence="whole-number labels"),
    "class weights, own loss": Row(mlp(), (X, Y), weighted, oracle_loss=weighted),
    "focal": Row(mlp(), (X, Y), focal, oracle_loss=focal),
    "linear": Row(mlp(), (X, Y), linear, oracle_loss=linear),
    "criterion without reduction": Row(mlp(), (X, Y), nn.CrossEntropyLoss(reduction="none")),
    "criterion that averages": Row(mlp(), (X, Y), nn.CrossEntropyLoss(), sentence="one value a sample"),
    "mean of the batch for each": Row(mlp(), (X, Y), mean_of_batch, sentence="other samples of its batch"),
    "contrastive": Row(mlp(), (X, Y), contrastive, sentence="loss depends on the other samples.*contrastive"),
    "class-balanced in the batch": Row(mlp(), (X, Y), balanced, sentence="loss depends on the other samples"),
    "writes into its targets": Row(mlp(), (X, Y), writes_targets, oracle_loss=counted_down),
    "writes into logits and targets": Row(mlp(), (X, Y), counts_down, oracle_loss=counted_down),
    "a fused loss, wrong twice": Row(
        mlp(), (X, Y), WrongFocal.apply, sentence="not the differences.*backward of WrongFocal", operator=True
    ),
    "a module with weights": Row(mlp(), (X, Y), Tempered().train(), oracle_loss=tempered),
    "another value each time": Row(mlp(), (X, Y), Counting(), sentence="other values a second time"),
    "number of errors": Row(mlp(), (X, Y), errors, sentence="cannot be differentiated with respect to the logits"),
    "detached": Row(mlp(), (X, Y), detached, sentence="cannot be differentiated with respect to the logits"),
    "logarithm of zero": Row(mlp(), (X, Y), logarithm_of_zero, sentence="not finite"),
    "a loss that fails": Row(mlp(), (X, Y), fails, sentence="cannot be computed"),
    "unknown name": Row(mlp(), (X, Y), "mse_loss", sentence="known: cross_entropy, mse"),
    "tokens, flattened logits": Row(seeded(PerToken, True), (TOKENS, NEXT), token_loss, oracle_loss=token_loss),
    "tokens, logits of three axes": Row(
        seeded(PerToken, False), (TOKENS, NEXT), token_loss, sentence=r"logits of shape \(n, C\).*\(12, 4, 6\)"
    ),
}
