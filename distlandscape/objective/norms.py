"""BatchNorm by the statistics of one fixed batch, so that no sample's output depends on how samples are batched.

The statistics batch goes through the model in front of every micro-batch; each BatchNorm layer takes mean and variance
from its rows and normalises all rows by them. Derivatives flow through the statistics; running buffers do not move.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from distlandscape.errors import InputError

PLAIN = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)


class FixedStatisticsNorm(_BatchNorm):
    """A BatchNorm layer that normalises by its first rows; made by ``fix_statistics``, never constructed."""

    trained_as: type[_BatchNorm]
    fixed: int  # samples of the statistics batch
    whole: int  # samples of the statistics batch and the micro-batch

    def forward(self, x: Tensor) -> Tensor:
        """Normalise all rows by mean and biased variance of those of the statistics batch."""
        rows, rest = divmod(len(x) * self.fixed, self.whole)
        if rest:  # several rows a sample are fine, fewer than one are not
            raise InputError(
                "objective.norm=batch needs BatchNorm layers whose rows belong to one sample each; use norm=population"
            )
        head, dims = x[:rows], [0, *range(2, x.ndim)]
        mean, variance = head.mean(dims, keepdim=True), head.var(dims, unbiased=False, keepdim=True)
        x = (x - mean) / (variance + self.eps).sqrt()
        if not self.affine:
            return x
        shape = [1, -1] + [1] * (x.ndim - 2)
        return x * self.weight.view(shape) + self.bias.view(shape)


def require_running_statistics(model: nn.Module) -> None:
    """Raise InputError for BatchNorm layers that have no population statistics to use."""
    for name, module in model.named_modules():
        if isinstance(module, _BatchNorm) and module.running_mean is None:
            raise InputError(
                f"the normalisation layer {name!r} keeps no running statistics, so its output depends on how samples"
                " are batched; build it with track_running_stats=True, or use norm='batch'"
            )


def fix_statistics(model: nn.Module) -> bool:
    """Turn the BatchNorm layers of ``model`` into FixedStatisticsNorm; returns whether there are any.

    Raises:
        InputError: a BatchNorm layer of a kind of its own, whose forward may do more than normalise.
    """
    found = False
    for name, module in model.named_modules():
        if isinstance(module, _BatchNorm):
            if type(module) not in PLAIN:
                raise InputError(
                    f"norm='batch' does not know what the normalisation layer {name!r}, a {type(module).__name__},"
                    " does beside BatchNorm; use norm='population'"
                )
            swapped: Any = module
            # Only the class changes: parameters, buffers, their names and their order stay.
            swapped.trained_as, swapped.__class__ = type(module), FixedStatisticsNorm
            found = True
    return found


def set_rows(model: nn.Module, fixed: int, whole: int) -> None:
    """Tell the layers how many of the samples of the coming forward pass are the statistics batch."""
    for module in model.modules():
        if isinstance(module, FixedStatisticsNorm):
            module.fixed, module.whole = fixed, whole


def free_statistics(model: nn.Module) -> None:
    """Undo ``fix_statistics``."""
    for module in model.modules():
        if isinstance(module, FixedStatisticsNorm):
            swapped: Any = module
            swapped.__class__ = module.trained_as
