"""How products are computed: chosen once, the same on every worker."""

from __future__ import annotations

from dataclasses import dataclass

from distlandscape.errors import InputError

METHODS = ("kept", "double_backward", "forward_over_reverse")


@dataclass(frozen=True)
class ProductPlan:
    """Method of the products of a micro-batch, and the memory it may take; picklable.

    "kept" and "double_backward" give the same bits: a linearisation that no longer fits into memory is made afresh by
    the same kernels. In gradient passes a Hessian product costs 3 by double backward or forward over reverse and 2
    through a kept linearisation, by operation count; a Gauss-Newton product 2.3, 1.7 and 1.3. The budget is a worker's:
    with more workers more of the data fits.

    Args:
        method: "kept": as many linearisations stay in memory as fit, the rest is made afresh; "double_backward": none
            stays; "forward_over_reverse": forward mode, refused for nets whose forward derivatives are missing or
            wrong.
        memory: bytes of kept linearisations a worker; "auto": keeping stops when half of the memory that was available
            when it began is gone.
        channels_last: images and the layers behind them in channels-last order; other bits. A Hessian product
            took 0.91 to 0.96 of the time on a CPU (16 to 64 channels); never timed on a GPU.

    Raises:
        InputError: an unknown method, or memory that is no positive number.
    """

    method: str = "kept"
    memory: int | str = "auto"
    channels_last: bool = True

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise InputError(f"product {self.method!r} is unknown; known: {', '.join(map(repr, METHODS))}")
        numeric = isinstance(self.memory, int) and not isinstance(self.memory, bool) and self.memory > 0
        if self.memory != "auto" and not numeric:
            raise InputError(
                f"memory={self.memory!r} must be a positive number of bytes or 'auto'; to keep nothing choose product"
                " 'double_backward'"
            )
