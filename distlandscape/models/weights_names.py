"""Which names of a state dict are which of a model: wrappers and common prefixes are seen through.

Wrappers (DataParallel, torch.compile, FSDP, activation checkpointing) put a part of their own into names, at the front
or in the middle; modules that hold the model (Lightning, AveragedModel) put one prefix before all of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from torch import Tensor

WRAPPERS = {"module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"}
COUNTER = "n_averaged"  # of AveragedModel: how many models the mean is of
LISTED = 12


@dataclass(frozen=True)
class Match:
    """Tensors of a state dict under the model's names, and what does not fit.

    Attributes:
        state: those that are the model's, under its names; a tied parameter under all of them.
        missing: names of the model that the state dict lacks.
        extra: names of the state dict that the model lacks, as they stand there.
        prefixes: the prefixes under which the whole model is found; more than one is an ambiguity.
    """

    state: dict[str, Tensor]
    missing: list[str]
    extra: list[str]
    prefixes: list[str]

    def shapes(self, own: Mapping[str, Tensor]) -> list[str]:
        """Names whose tensors have another shape than the model's."""
        return [name for name, tensor in self.state.items() if tensor.shape != own[name].shape]

    def fits(self, own: Mapping[str, Tensor]) -> bool:
        """Whether names and shapes are those of the model."""
        return not (self.missing or self.extra or self.shapes(own))

    def misfit(self, own: Mapping[str, Tensor]) -> str:
        """What does not fit, in words."""
        parts = []
        if self.missing:
            parts.append(f"lacks {listed(map(repr, self.missing))}")
        if self.extra:
            parts.append(f"holds {listed(map(repr, self.extra))}, which the model lacks")
        other = [
            f"{name!r} has shape {tuple(self.state[name].shape)}, the model needs {tuple(own[name].shape)}"
            for name in self.shapes(own)
        ]
        if other:
            parts.append(f"of another shape: {listed(other)}")
        return "; ".join(parts)


def match(state: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> Match:
    """Find the model's names among those of a state dict.

    Names that are there as they stand are taken so. Else parts of wrappers are left out on both sides, and the prefix
    is dropped under which most of the model is found.
    """
    mine, theirs = _bare(own), _bare(state)
    if mine is None or theirs is None or own.keys() <= state.keys():
        mine, theirs = {name: name for name in own}, {name: name for name in state}
    found: dict[str, dict[str, str]] = {}
    for bare, name in theirs.items():
        for prefix, rest in _cuts(bare):
            if rest in mine:
                found.setdefault(prefix, {})[mine[rest]] = name
    whole = [prefix for prefix, names in found.items() if not _lacking(names, own)]
    if "" in whole:
        whole = [""]
    best = whole[0] if whole else max(found, key=lambda prefix: (len(found[prefix]), -len(prefix)), default="")
    names = found.get(best, {})
    used = set(names.values())
    extra = [name for name in state if name not in used and not _is_counter(name, state[name])]
    tensors = {name: state[origin] for name, origin in names.items()}
    return Match(_with_ties(tensors, own), _lacking(names, own), extra, sorted(whole))


def listed(names: Iterable[str]) -> str:
    """The first dozen, and how many more there are."""
    shown = list(names)
    more = len(shown) - LISTED
    return ", ".join(shown[:LISTED]) + (f" and {more:,} more" if more > 0 else "")


def place(tensor: Tensor) -> tuple[object, ...]:
    """The same for two names of one parameter."""
    return tensor.data_ptr(), tensor.shape, tensor.stride(), tensor.dtype


def _bare(state: Mapping[str, Tensor]) -> dict[str, str] | None:
    """Names by what is left of them without the parts of wrappers; None where that makes two the same."""
    found = {".".join(part for part in name.split(".") if part not in WRAPPERS): name for name in state}
    return found if len(found) == len(state) else None


def _cuts(name: str) -> Iterable[tuple[str, str]]:
    """All ways to take a prefix of whole parts off a name, none among them."""
    yield "", name
    for at, letter in enumerate(name):
        if letter == ".":
            yield name[: at + 1], name[at + 1 :]


def _lacking(names: Mapping[str, str], own: Mapping[str, Tensor]) -> list[str]:
    """Names of the model that are not there, nor tied to one that is; empty tensors all lie at 0."""
    there = {place(own[name]) for name in names if own[name].numel()}
    return [name for name, tensor in own.items() if name not in names and place(tensor) not in there]


def _with_ties(state: dict[str, Tensor], own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same in the model's order, where a missing name gets the tensor of the name it is tied to."""
    there = {place(own[name]): name for name in state if own[name].numel()}
    complete = {}
    for name, tensor in own.items():
        origin = name if name in state else there.get(place(tensor))
        if origin is not None:
            complete[name] = state[origin]
    return complete


def _is_counter(name: str, tensor: Tensor) -> bool:
    return name.rpartition(".")[2] == COUNTER and tensor.numel() == 1
