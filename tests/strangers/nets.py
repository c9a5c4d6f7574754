"""Nets as strangers write them: idioms of forward, layers that couple or rewrite, parameters that are no plain ones."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.utils import prune
from torch.utils.checkpoint import checkpoint

from tests.strangers.rows import C, N, Row, flat, images, mlp, net, quiet, seeded, series, tokens


class Viewed(nn.Module):
    """The commonest idiom of torch, which channels-last order breaks."""

    def __init__(self):
        super().__init__()
        self.conv, self.last = nn.Conv2d(2, 3, 3), nn.Linear(27, C)

    def forward(self, x):
        x = self.conv(x).tanh()
        return self.last(x.view(x.size(0), -1))


class Strided(Viewed):
    """Reads memory order, so that its values depend on it."""

    def forward(self, x):
        h = self.conv(x).tanh()
        return self.last(torch.as_strided(h, (len(h), 27), (27, 1)))


class ViewsItsGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x * 2

    @staticmethod
    def backward(ctx, g):
        return g.view(len(g), -1).view(g.shape) * 2


class BackwardOnly(Viewed):
    """Only its derivative minds channels-last order."""

    def forward(self, x):
        return self.last(ViewsItsGradient.apply(self.conv(x).tanh()).flatten(1))


class Recurrent(nn.Module):
    def __init__(self, kind=nn.LSTM, batch_first=True, hidden=4, **options):
        super().__init__()
        self.rnn = kind(3, hidden, batch_first=batch_first, **options)
        self.last = nn.Linear(hidden * (2 if options.get("bidirectional") else 1), C)

    def forward(self, x):
        return self.last(self.rnn(x)[0][:, -1])


class Packed(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.rnn, self.last = nn.Embedding(9, 3), nn.GRU(3, 4, batch_first=True), nn.Linear(4, C)

    def forward(self, i):
        lengths = (i != 0).sum(1).clamp(min=1).cpu()
        packed = nn.utils.rnn.pack_padded_sequence(self.embed(i), lengths, batch_first=True, enforce_sorted=False)
        return self.last(self.rnn(packed)[1][-1])


class LargestEntry(nn.Module):
    """Divides by the largest entry of the batch, of which the first sample may hold it."""

    def __init__(self):
        super().__init__()
        self.last = nn.Linear(5, C)

    def forward(self, x):
        return self.last(x / x.abs().amax())


class Centered(LargestEntry):
    def forward(self, x):
        return self.last(x - x.mean(0))


class TimeFirst(nn.Module):
    """Attention over the samples of a batch."""

    def __init__(self):
        super().__init__()
        self.attend, self.last = nn.MultiheadAttention(3, 1), nn.Linear(3, C)

    def forward(self, x):
        return self.last(self.attend(x, x, x)[0][:, -1])


class Masked(nn.Module):
    def __init__(self, persistent=True):
        super().__init__()
        self.embed, self.qkv, self.last = nn.Embedding(9, 4), nn.Linear(4, 12), nn.Linear(4, C)
        mask = torch.triu(torch.full((4, 4), -torch.inf), 1)
        self.register_buffer("mask", mask, persistent=persistent)

    def forward(self, i):
        h = self.embed(i)
        q, k, v = self.qkv(h).chunk(3, -1)
        return self.last((h + (q @ k.transpose(1, 2) / 2 + self.mask).softmax(-1) @ v)[:, -1])


class Kept(nn.Module):
    """Keeps its activations, with their history."""

    def __init__(self):
        super().__init__()
        self.last, self.log, self.named = nn.Linear(5, C), [], {}

    def forward(self, x):
        self.log.append(self.last(x))
        self.named["h"] = self.log[-1]
        return self.log[-1].tanh()


class Complex(nn.Module):
    def __init__(self, real_first=True):
        super().__init__()
        first, second = nn.Linear(8, 8), nn.Parameter(torch.randn(5, dtype=torch.cfloat))
        for name, part in (("a", first), ("b", second))[:: 1 if real_first else -1]:
            setattr(self, name, part)
        self.last = nn.Linear(8, C)

    def forward(self, x):
        return self.last(torch.fft.irfft(torch.fft.rfft(self.a(x)) * self.b, n=8).tanh())


class ComplexBuffer(nn.Module):
    """Rotates pairs of features, as positional encodings do."""

    def __init__(self):
        super().__init__()
        self.into, self.last = nn.Linear(8, 8), nn.Linear(8, C)
        self.register_buffer("turn", torch.polar(torch.ones(4), torch.arange(4.0)))

    def forward(self, x):
        pairs = torch.view_as_complex(self.into(x).view(-1, 4, 2).contiguous())
        return self.last(torch.view_as_real(pairs * self.turn).flatten(1).tanh())


class Checkpointed(nn.Module):
    def __init__(self, reentrant=None):
        super().__init__()
        self.a, self.c, self.reentrant = nn.Linear(5, 4), nn.Linear(4, C), reentrant
        self.b = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 4))

    def forward(self, x):
        h = self.a(x).tanh()
        h = self.b(h) if self.reentrant is None else checkpoint(self.b, h, use_reentrant=self.reentrant)
        return self.c(h.tanh())


class WritesInput(nn.Module):
    def __init__(self):
        super().__init__()
        self.last = nn.Linear(5, C)

    def forward(self, x):
        x -= 0.5
        x /= 0.25
        return self.last(x).tanh()


class Physics(nn.Module):
    """Differentiates its own output with respect to its samples, as physics-informed nets do."""

    def __init__(self):
        super().__init__()
        self.a, self.c = nn.Linear(5, 4), nn.Linear(4, 1)

    def forward(self, x):
        x = x.detach().requires_grad_(True)
        u = self.c(self.a(x).tanh())
        (slope,) = torch.autograd.grad(u.sum(), x, create_graph=True)
        return torch.cat([u, slope[:, :2]], 1)


class Closure(nn.Module):
    """Holds a lambda that reads the weights of the very object it was made in."""

    def __init__(self):
        super().__init__()
        self.layer, self.last = nn.Linear(5, 4), nn.Linear(4, C)
        self.f = lambda x: nn.functional.linear(x, self.layer.weight, self.layer.bias)

    def forward(self, x):
        return self.last(self.f(x).tanh())


class Counts(nn.Module):
    def __init__(self):
        super().__init__()
        self.last = nn.Linear(5, C)
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x):
        self.calls += 1
        return self.last(x)


class Noisy(LargestEntry):
    def forward(self, x):
        return nn.functional.dropout(self.last(x), 0.5)


class Squeezes(nn.Module):
    """Loses the axis of a batch of one."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv1d(3, C, 4)

    def forward(self, x):
        return self.conv(x.transpose(1, 2)).squeeze()


class Whole(nn.Module):
    """A layer of whole numbers, as quantized ones are."""

    def __init__(self):
        super().__init__()
        self.codes = nn.Parameter(torch.randint(-3, 3, (C, 5)), requires_grad=False)
        self.scale = nn.Parameter(torch.rand(C, 1) + 0.5)

    def forward(self, x):
        return (x @ (self.codes * self.scale).T).tanh()


def frozen(model, *names):
    """Without gradients of some parameters."""
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(not name.startswith(names))
    return model


class PlainWeightNorm(nn.Module):
    """A linear layer of weights g v/|v|, by operations whose second derivatives are right: torch's own are not."""

    def __init__(self, layer):
        super().__init__()
        self.bias = layer.bias
        self.g, self.v = nn.Parameter(layer.weight.detach().norm(dim=1, keepdim=True)), layer.weight

    def forward(self, x):
        return nn.functional.linear(x, self.g * self.v / self.v.norm(dim=1, keepdim=True), self.bias)


class Cached(nn.Module):
    """Fuses its weights the first time it runs, as some nets do for speed."""

    def __init__(self):
        super().__init__()
        self.a, self.c, self.cache = nn.Linear(5, 4), nn.Linear(4, C), {}

    def forward(self, x):
        if "w" not in self.cache:
            self.cache["w"] = self.c.weight @ self.a.weight
        return (x @ self.cache["w"].T + self.c.bias).tanh()


class Listed(nn.Module):
    """Holds its parameters in a list, too, and uses those."""

    def __init__(self):
        super().__init__()
        self.a, self.c = nn.Linear(5, 4), nn.Linear(4, C)
        self.all = [self.a.weight, self.c.weight]

    def forward(self, x):
        return nn.functional.linear(nn.functional.linear(x, self.all[0]).tanh(), self.all[1], self.c.bias)


class Renormed(nn.Linear):
    """Bounds its weights through ``data``, which torch does not see."""

    def forward(self, x):
        self.weight.data = torch.renorm(self.weight.data, 2, 0, 0.3)
        return super().forward(x)


class RenormedInPlace(nn.Linear):
    def forward(self, x):
        self.weight.data.renorm_(2, 0, 0.3)
        return super().forward(x)


class Padded(nn.Module):
    """Torch's encoder with a mask of padding, whose fast path gives other numbers without gradients."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(9, 4, padding_idx=0)
        layer = nn.TransformerEncoderLayer(4, 2, 5, batch_first=True)
        self.encode, self.last = nn.TransformerEncoder(layer, 2), nn.Linear(4, C)

    def forward(self, i):
        mask = i == 0
        mask[:, 0] = False
        return self.last(self.encode(self.embed(i), src_key_padding_mask=mask).mean(1))


class FrozenNorm(nn.Module):
    """Overrides train() without returning itself."""

    def __init__(self):
        super().__init__()
        self.a, self.norm, self.c = nn.Linear(5, 4), nn.BatchNorm1d(4), nn.Linear(4, C)

    def train(self, mode=True):
        super().train(mode)
        self.norm.training = False

    def forward(self, x):
        return self.c(self.norm(self.a(x)).tanh())


class TiedHead(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.head = nn.Linear(5, 5), nn.Linear(5, 5)
        self.head.weight = self.a.weight

    def forward(self, x):
        return self.head(self.a(x).tanh())[:, :C]


class Crowded(nn.Module):
    """An expert with room for a few samples of a batch only."""

    def __init__(self):
        super().__init__()
        self.a, self.c = nn.Linear(5, C), nn.Linear(5, C)

    def forward(self, x):
        room = max(4, len(x) // 4)
        return torch.cat([self.a(x[:room]), self.c(x[room:])])


class Remembers(nn.Module):
    """Keeps its keys from one call to the next."""

    def __init__(self):
        super().__init__()
        self.last, self.keys = nn.Linear(5, C), None

    def forward(self, x):
        h = self.last(x)
        self.keys = h.detach() if self.keys is None else torch.cat([self.keys, h.detach()])
        return h + 0.1 * self.keys


class Float(nn.Module):
    """Logits in float32, as language models have them."""

    def __init__(self):
        super().__init__()
        self.last = nn.Linear(5, C)

    def forward(self, x):
        return self.last(x).float()


class Constants(nn.Module):
    """Makes constants without naming a type, and holds one that is no buffer."""

    def __init__(self):
        super().__init__()
        self.rnn, self.last, self.mix = nn.GRU(3, 4, batch_first=True), nn.Linear(4, C), torch.randn(4, 4)

    def forward(self, x):
        return self.last(self.rnn(x, torch.zeros(1, len(x), 4))[0][:, -1] @ self.mix)


class ConstantsInFloat64(Constants):
    """The same where torch's default type is float32."""

    def forward(self, x):
        h = torch.zeros(1, len(x), 4, dtype=x.dtype)
        return self.last(self.rnn(x, h)[0][:, -1] @ self.mix.to(x.dtype))


class LateBuffer(nn.Module):
    """Makes a table when it first runs."""

    def __init__(self):
        super().__init__()
        self.last = nn.Linear(5, C)

    def forward(self, x):
        if not hasattr(self, "table"):
            self.register_buffer("table", torch.linspace(0, 1, 5, dtype=x.dtype))
        return self.last(x + self.table)


class Extra(nn.Linear):
    """Saves something beside its tensors."""

    def get_extra_state(self):
        return {"version": 3}

    def set_extra_state(self, state):
        pass


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
    return nn.Sequential(PlainWeightNorm(seeded(nn.Linear, 5, 4)), nn.Tanh(), seeded(nn.Linear, 4, C))


class WrongTwice(torch.autograd.Function):
    """Its backward is right, and treats as a constant what is none."""

    @staticmethod
    def forward(ctx, x):
        ctx.slope = 3 * x.detach() ** 2
        return x**3

    @staticmethod
    def backward(ctx, g):
        return g * ctx.slope


class WronglyCubed(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.c = nn.Linear(5, 4), nn.Linear(4, C)

    def forward(self, x):
        return self.c(WrongTwice.apply(self.a(x)))


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
    "view behind a convolution": Row(seeded(Viewed), images()),
    "as_strided behind a convolution": Row(seeded(Strided), images()),
    "view in a backward": Row(seeded(BackwardOnly), images()),
    "channels-last model and samples": Row(
        net(lambda: nn.Conv2d(2, 3, 3), lambda: nn.ReLU(inplace=True), nn.Flatten, lambda: nn.Linear(27, C)).to(
            memory_format=torch.channels_last
        ),
        tuple(part.to(memory_format=torch.channels_last) if part.ndim == 4 else part for part in images()),
    ),
    "grey images": Row(net(lambda: nn.Conv2d(1, 2, 3), nn.Tanh, nn.Flatten, lambda: nn.Linear(18, C)), images(1)),
    # one sample, one term
    "LSTM, time first": Row(seeded(Recurrent, batch_first=False), series(), sentence="batch_first=True"),
    "GRU, time first": Row(
        seeded(Recurrent, nn.GRU, batch_first=False), series(), sentence="other samples of its batch"
    ),
    "bidirectional, time first": Row(
        seeded(Recurrent, batch_first=False, bidirectional=True), series(), sentence="other samples of its batch"
    ),
    "LSTM": Row(seeded(Recurrent), series()),
    "two layers of GRU, both ways": Row(
        seeded(Recurrent, nn.GRU, num_layers=2, bidirectional=True, hidden=2), series()
    ),
    "packed sequences": Row(seeded(Packed), tokens()),
    "attention over the batch": Row(seeded(TimeFirst), series(), sentence="other samples of its batch"),
    "largest entry of the batch": Row(seeded(LargestEntry), (X, Y), sentence="other samples of its batch"),
    "largest entry in the first sample": Row(
        seeded(LargestEntry), (torch.cat([X[:1] * 50, X[1:]]), Y), sentence="other samples of its batch"
    ),
    "mean of the batch": Row(seeded(Centered), (X, Y), sentence="other samples of its batch"),
    "BatchNorm without statistics": Row(
        net(lambda: nn.Linear(5, 4), lambda: nn.BatchNorm1d(4, track_running_stats=False), lambda: nn.Linear(4, C)),
        (X, Y),
        sentence="keeps no running statistics",
    ),
    "squeeze of one sample": Row(seeded(Squeezes), series(), sentence="squeeze"),
    "functional dropout": Row(seeded(Noisy), (X, Y), sentence="a second time"),
    "dropout": Row(net(lambda: nn.Linear(5, 4), nn.Tanh, lambda: nn.Dropout(0.5), lambda: nn.Linear(4, C)), (X, Y)),
    # parameters that are no plain ones
    "complex weights": Row(seeded(Complex), flat(8), sentence="'b' is complex.*view_as_real"),
    "complex weights first": Row(seeded(Complex, False), flat(8), sentence="'b' is complex"),
    "complex weights, float64": Row(
        seeded(Complex), flat(8), options={"dtype": torch.float64}, sentence="'b' is complex"
    ),
    "complex buffer": Row(seeded(ComplexBuffer), flat(8)),
    "frozen layer": Row(frozen(mlp(), "0"), (X, Y), names=["2.weight", "2.bias"]),
    "frozen layer, all asked for": Row(frozen(mlp(), "0"), (X, Y), options={"parameters": ["*"]}),
    "all frozen": Row(frozen(mlp(), "0", "2"), (X, Y)),
    "whole-number weights": Row(seeded(Whole), (X, Y), names=["scale"]),
    "whole-number weights, all asked for": Row(
        seeded(Whole), (X, Y), options={"parameters": ["*"]}, sentence="'codes' holds whole numbers"
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
        seeded(WronglyCubed),
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
    "kept activations": Row(trained(seeded(Kept), X), (X, Y), plain=seeded(Kept)),
    "hooks": Row(hooked(), (X, Y), plain=mlp()),
    "weights through a closure": Row(seeded(Closure), (X, Y), sentence="'layer.weight' of the model itself"),
    "a count in a buffer": Row(seeded(Counts), (X, Y), sentence="rewrites 'calls'"),
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
    "-inf mask in a buffer": Row(seeded(Masked), tokens()),
    "-inf mask that is not saved": Row(seeded(Masked, persistent=False), tokens()),
    "weights fused at the first call": Row(seeded(Cached), (X, Y), sentence="something computed from its weights"),
    "weights in a list": Row(seeded(Listed), (X, Y), sentence="holds them under a further name"),
    "weights bounded through data": Row(seeded(Renormed, 5, C), (X, Y), sentence="rewrites 'weight'"),
    "weights bounded through data in place": Row(seeded(RenormedInPlace, 5, C), (X, Y), sentence="rewrites 'weight'"),
    "mixed precision": Row(nn.Sequential(mlp(), seeded(nn.Linear, C, C).double()), (X, Y)),
    "tied head by its other name": Row(
        seeded(TiedHead), (X, Y), options={"parameters": ["head"]}, names=["a.weight", "head.bias"]
    ),
    "buffer made at the first call": Row(seeded(LateBuffer), (X, Y), plain=seeded(LateBuffer)),
    "extra state": Row(seeded(Extra, 5, C), (X, Y)),
    "padding in torch's encoder": Row(seeded(Padded), tokens()),
    "room for some samples of a batch": Row(seeded(Crowded), flat(n=40), sentence="logits depend on the other samples"),
    "memory of calls": Row(seeded(Remembers), (X, Y), sentence="called a second time"),
    "logits in float32": Row(
        seeded(Float), (X, Y), options={"dtype": torch.float64}, sentence="float32 logits for float64 weights"
    ),
    "constants without a type": Row(seeded(Constants), series(), plain=seeded(ConstantsInFloat64)),
    "train() that returns nothing": Row(seeded(FrozenNorm), (X, Y)),
    # how it runs
    "checkpointing": Row(seeded(Checkpointed, False), (X, Y), plain=seeded(Checkpointed)),
    "checkpointing, reentrant": Row(seeded(Checkpointed, True), (X, Y), plain=seeded(Checkpointed)),
    "checkpointed block that does not count": Row(
        seeded(Checkpointed, False),
        (X, Y),
        options={"parameters": ["a", "c"]},
        plain=seeded(Checkpointed),
        names=["a.weight", "a.bias", "c.weight", "c.bias"],
    ),
    "DataParallel": Row(nn.DataParallel(mlp()), (X, Y), plain=mlp()),
    "DataParallel inside": Row(
        nn.Sequential(nn.DataParallel(mlp()), nn.Tanh()), (X, Y), plain=nn.Sequential(mlp(), nn.Tanh())
    ),
    "averaged weights": Row(torch.optim.swa_utils.AveragedModel(mlp()), (X, Y)),
    "writes into its samples": Row(seeded(WritesInput), (X, Y)),
    "in-place activation first": Row(
        net(lambda: nn.LeakyReLU(0.1, inplace=True), lambda: nn.Linear(5, 4), nn.Tanh, lambda: nn.Linear(4, C)), (X, Y)
    ),
    "derivatives in forward": Row(seeded(Physics), (X, Y), loss=last_column, oracle_loss=last_column),
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
