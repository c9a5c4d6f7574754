"""Nets as strangers write them: idioms of forward, layers that couple or rewrite, parameters that are no plain ones."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.utils import prune

from tests.strangers import modules as m
from tests.strangers.rows import C, N, Row, flat, images, mlp, net, quiet, seeded, series, tokens


def frozen(model, *names):
    """Without gradients of some parameters."""
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(not name.startswith(names))
    return model


def fitted(scale):
    """A net that knows every sample, the surer the larger the scale of its logits."""
    model = net(lambda: nn.Linear(5, 32), nn.Tanh, lambda: nn.Linear(32, C))
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    for _ in range(300):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(X), Y).backward()
        optimizer.step()
    with torch.no_grad():
        model[2].weight *= scale
        model[2].bias *= scale
    return Row(model, (X, Y))


def plain_weight_normed():
    return nn.Sequential(m.PlainWeightNorm(seeded(nn.Linear, 5, 4)), nn.Tanh(), seeded(nn.Linear, 4, C))


def weight_normed():
    return nn.Sequential(quiet(torch.nn.utils.weight_norm, seeded(nn.Linear, 5, 4)), nn.Tanh(), seeded(nn.Linear, 4, C))


def trained(model, x):
    """After a step of training, which leaves tensors with history in some modules."""
    model(x).sum().backward()
    return model


def spectral_normed():
    model = nn.Sequential(
        quiet(torch.nn.utils.spectral_norm, seeded(nn.Linear, 5, 4)), nn.Tanh(), seeded(nn.Linear, 4, C)
    )
    model(flat()[0])
    return model


def pruned():
    model = mlp()
    prune.l1_unstructured(model[0], "weight", amount=0.5)
    return model


def hooked():
    """A forward hook that keeps features, as people who look at activations put in place."""
    model = mlp()
    model[1].register_forward_hook(lambda module, args, out: None)
    model[2].register_full_backward_hook(lambda module, into, out: None)
    return model


def meta():
    with torch.device("meta"):
        return nn.Linear(5, C)


def last_column(z, y):
    """A loss of outputs that have three columns, smooth."""
    return z.square().sum(1) + (z[:, 0] * y).sin()


X, Y = flat()
ROWS = {
    # layouts
    "view behind a convolution": Row(seeded(m.Viewed), images()),
    "as_strided behind a convolution": Row(seeded(m.Strided), images()),
    "view in a backward": Row(seeded(m.BackwardOnly), images()),
    "channels-last model and samples": Row(
        net(lambda: nn.Conv2d(2, 3, 3), lambda: nn.ReLU(inplace=True), nn.Flatten, lambda: nn.Linear(27, C)).to(
            memory_format=torch.channels_last
        ),
        tuple(part.to(memory_format=torch.channels_last) if part.ndim == 4 else part for part in images()),
    ),
    "grey images": Row(net(lambda: nn.Conv2d(1, 2, 3), nn.Tanh, nn.Flatten, lambda: nn.Linear(18, C)), images(1)),
    # one sample, one term
    "LSTM, time first": Row(seeded(m.Recurrent, batch_first=False), series(), sentence="batch_first=True"),
    "GRU, time first": Row(
        seeded(m.Recurrent, nn.GRU, batch_first=False), series(), sentence="other samples of its batch"
    ),
    "bidirectional, time first": Row(
        seeded(m.Recurrent, batch_first=False, bidirectional=True), series(), sentence="other samples of its batch"
    ),
    "LSTM": Row(seeded(m.Recurrent), series()),
    "two layers of GRU, both ways": Row(
        seeded(m.Recurrent, nn.GRU, num_layers=2, bidirectional=True, hidden=2), series()
    ),
    "packed sequences": Row(seeded(m.Packed), tokens()),
    "attention over the batch": Row(seeded(m.TimeFirst), series(), sentence="other samples of its batch"),
    "largest entry of the batch": Row(seeded(m.LargestEntry), (X, Y), sentence="other samples of its batch"),
    "largest entry in the first sample": Row(
        seeded(m.LargestEntry), (torch.cat([X[:1] * 50, X[1:]]), Y), sentence="other samples of its batch"
    ),
    "mean of the batch": Row(seeded(m.Centered), (X, Y), sentence="other samples of its batch"),
    "BatchNorm without statistics": Row(
        net(lambda: nn.Linear(5, 4), lambda: nn.BatchNorm1d(4, track_running_stats=False), lambda: nn.Linear(4, C)),
        (X, Y),
        sentence="keeps no running statistics",
    ),
    "squeeze of one sample": Row(seeded(m.Squeezes), series(), sentence="squeeze"),
    "functional dropout": Row(seeded(m.Noisy), (X, Y), sentence="a second time"),
    "dropout": Row(net(lambda: nn.Linear(5, 4), nn.Tanh, lambda: nn.Dropout(0.5), lambda: nn.Linear(4, C)), (X, Y)),
    # parameters that are no plain ones
    "complex weights": Row(seeded(m.Complex), flat(8), sentence="'b' is complex.*view_as_real"),
    "complex weights first": Row(seeded(m.Complex, False), flat(8), sentence="'b' is complex"),
    "complex weights, float64": Row(
        seeded(m.Complex), flat(8), options={"dtype": torch.float64}, sentence="'b' is complex"
    ),
    "complex buffer": Row(seeded(m.ComplexBuffer), flat(8)),
    "frozen layer": Row(frozen(mlp(), "0"), (X, Y), names=["2.weight", "2.bias"]),
    "frozen layer, all asked for": Row(frozen(mlp(), "0"), (X, Y), options={"parameters": ["*"]}),
    "all frozen": Row(frozen(mlp(), "0", "2"), (X, Y)),
    "whole-number weights": Row(seeded(m.Whole), (X, Y), names=["scale"]),
    "whole-number weights, all asked for": Row(
        seeded(m.Whole), (X, Y), options={"parameters": ["*"]}, sentence="'codes' holds whole numbers"
    ),
    "lazy layers": Row(
        nn.Sequential(nn.LazyLinear(4), nn.Linear(4, C)), (X, Y), sentence="has no size yet.*run the model"
    ),
    "meta device": Row(meta(), (X, Y), sentence="meta device"),
    "weight_norm, legacy": Row(weight_normed(), (X, Y), plain=plain_weight_normed()),
    "weight_norm, legacy, after a step": Row(trained(weight_normed(), X), (X, Y), plain=plain_weight_normed()),
    "weight_norm": Row(
        nn.Sequential(
            nn.utils.parametrizations.weight_norm(seeded(nn.Linear, 5, 4)), nn.Tanh(), seeded(nn.Linear, 4, C)
        ),
        (X, Y),
        plain=plain_weight_normed(),
    ),
    "wrong second derivative": Row(
        seeded(m.WronglyCubed),
        (X, Y),
        sentence="not the differences of first.*backward of WrongTwice, or use",
        operator=True,
    ),
    "spectral_norm, legacy": Row(spectral_normed(), (X, Y)),
    "spectral_norm": Row(
        nn.Sequential(
            nn.utils.parametrizations.spectral_norm(seeded(nn.Linear, 5, 4)), nn.Tanh(), seeded(nn.Linear, 4, C)
        ),
        (X, Y),
    ),
    "pruned": Row(pruned(), (X, Y)),
    "kept activations": Row(trained(seeded(m.Kept), X), (X, Y), plain=seeded(m.Kept)),
    "hooks": Row(hooked(), (X, Y), plain=mlp()),
    "weights through a closure": Row(seeded(m.Closure), (X, Y), sentence="'layer.weight' of the model itself"),
    "a count in a buffer": Row(seeded(m.Counts), (X, Y), sentence="rewrites 'calls'"),
    "max_norm": Row(
        net(lambda: nn.Embedding(9, 3, max_norm=0.5), nn.Flatten, lambda: nn.Linear(12, C)),
        tokens(),
        sentence="rewrites '0.weight'.*max_norm",
    ),
    "sparse embedding": Row(
        net(lambda: nn.Embedding(9, 3, sparse=True), nn.Flatten, lambda: nn.Linear(12, C)),
        tokens(),
        plain=net(lambda: nn.Embedding(9, 3), nn.Flatten, lambda: nn.Linear(12, C)),
    ),
    "-inf mask in a buffer": Row(seeded(m.Masked), tokens()),
    "-inf mask that is not saved": Row(seeded(m.Masked, persistent=False), tokens()),
    "weights fused at the first call": Row(seeded(m.Cached), (X, Y), sentence="something computed from its weights"),
    "weights in a list": Row(seeded(m.Listed), (X, Y), sentence="holds them under a further name"),
    "weights bounded through data": Row(seeded(m.Renormed, 5, C), (X, Y), sentence="rewrites 'weight'"),
    "weights bounded through data in place": Row(seeded(m.RenormedInPlace, 5, C), (X, Y), sentence="rewrites 'weight'"),
    "mixed precision": Row(nn.Sequential(mlp(), seeded(nn.Linear, C, C).double()), (X, Y)),
    "tied head by its other name": Row(
        seeded(m.TiedHead), (X, Y), options={"parameters": ["head"]}, names=["a.weight", "head.bias"]
    ),
    "buffer made at the first call": Row(seeded(m.LateBuffer), (X, Y), plain=seeded(m.LateBuffer)),
    "extra state": Row(seeded(m.Extra, 5, C), (X, Y)),
    "padding in torch's encoder": Row(seeded(m.Padded), tokens()),
    "room for some samples of a batch": Row(
        seeded(m.Crowded), flat(n=40), sentence="logits depend on the other samples"
    ),
    "memory of calls": Row(seeded(m.Remembers), (X, Y), sentence="called a second time"),
    "logits in float32": Row(
        seeded(m.Float), (X, Y), options={"dtype": torch.float64}, sentence="float32 logits for float64 weights"
    ),
    "constants without a type": Row(seeded(m.Constants), series(), plain=seeded(m.ConstantsInFloat64)),
    "train() that returns nothing": Row(seeded(m.FrozenNorm), (X, Y)),
    # how it runs
    "checkpointing": Row(seeded(m.Checkpointed, False), (X, Y), plain=seeded(m.Checkpointed)),
    "checkpointing, reentrant": Row(seeded(m.Checkpointed, True), (X, Y), plain=seeded(m.Checkpointed)),
    "checkpointed block that does not count": Row(
        seeded(m.Checkpointed, False),
        (X, Y),
        options={"parameters": ["a", "c"]},
        plain=seeded(m.Checkpointed),
        names=["a.weight", "a.bias", "c.weight", "c.bias"],
    ),
    "DataParallel": Row(nn.DataParallel(mlp()), (X, Y), plain=mlp()),
    "DataParallel inside": Row(
        nn.Sequential(nn.DataParallel(mlp()), nn.Tanh()), (X, Y), plain=nn.Sequential(mlp(), nn.Tanh())
    ),
    "averaged weights": Row(torch.optim.swa_utils.AveragedModel(mlp()), (X, Y)),
    "writes into its samples": Row(seeded(m.WritesInput), (X, Y)),
    "in-place activation first": Row(
        net(lambda: nn.LeakyReLU(0.1, inplace=True), lambda: nn.Linear(5, 4), nn.Tanh, lambda: nn.Linear(4, C)), (X, Y)
    ),
    "derivatives in forward": Row(seeded(m.Physics), (X, Y), loss=last_column, oracle_loss=last_column),
    # no second derivative
    "hardsigmoid": Row(
        net(lambda: nn.Linear(5, 4), nn.Hardsigmoid, lambda: nn.Linear(4, C)),
        (X, Y),
        sentence="hardsigmoid_backward, which has no second derivative.*FiniteDifferenceHessian",
        operator=True,
    ),
    "EmbeddingBag": Row(
        net(lambda: nn.EmbeddingBag(9, 4, mode="sum"), lambda: nn.Linear(4, C)),
        tokens(),
        sentence="_embedding_bag_backward, which has no second derivative",
        operator=True,
    ),
    # no model
    "a class": Row(nn.Linear, (X, Y), sentence="the class Linear; give an instance"),
    "a function": Row(torch.tanh, (X, Y), sentence="not a torch.nn.Module"),
    "nothing": Row(None, (X, Y), sentence="not a torch.nn.Module"),
    "weights": Row(mlp().state_dict(), (X, Y), sentence="not a torch.nn.Module"),
    "no parameters": Row(nn.Flatten(), (X, Y), sentence="no parameters"),
    "half precision": Row(mlp().bfloat16(), (X, Y), sentence="choose torch.float32"),
}
assert len(X) == N
