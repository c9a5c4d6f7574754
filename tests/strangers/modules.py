"""Modules as strangers write them: idioms of forward, couplings, parameters that are no plain ones."""

from __future__ import annotations

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from tests.strangers.rows import C


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
