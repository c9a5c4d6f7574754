"""What callers give that is of a wrong type: one sentence that names it, before any product."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from distlandscape.errors import InputError
from distlandscape.spectral import frobenius_norm, plane_curvature, spectral_density, top_eigenpairs, trace
from distlandscape.spectral.sharpness import rescaled_trace
from tests.spectral.helpers import Dense

CALLS: list[tuple[Callable[..., Any], dict[str, Any]]] = [
    *((top_eigenpairs, {"tol": tol}) for tol in ("a", None, 1j)),
    *((top_eigenpairs, {"max_steps": steps}) for steps in ("9", 9.5)),
    (top_eigenpairs, {"basis_size": 15.5}),
    (top_eigenpairs, {"seed": 1.5}),
    (top_eigenpairs, {"block": True}),
    (top_eigenpairs, {"start": 3}),
    (spectral_density, {"draws": 1.5}),
    (spectral_density, {"steps": 2.5}),
    (spectral_density, {"seed": None}),
    (spectral_density, {"max_draws": "4", "target": 0.1}),
    (spectral_density, {"target": "0.1"}),
    (spectral_density, {"known": 3}),
    *((trace, {"probes": probes}) for probes in (2.5, "4")),
    (trace, {"known": np.eye(3)}),
    (trace, {"probes": 6.0, "method": "xtrace"}),
    (trace, {"known": 3, "method": "xtrace"}),
    (frobenius_norm, {"seed": "1"}),
    (plane_curvature, {"plane": 2.0}),
    (rescaled_trace, {"probes": 4.0, "theta_P": np.ones(30)}),
]


@pytest.mark.parametrize(("call", "given"), CALLS, ids=lambda value: getattr(value, "__name__", None))
def test_a_wrong_type_is_named(call: Callable[..., Any], given: dict[str, Any]) -> None:
    operator = Dense(np.diag(np.arange(30.0)))
    with pytest.raises(InputError, match=rf"^{next(iter(given))}\b.*; (correct it|give )"):
        call(operator, **given)
    assert operator.passes == 0


@pytest.mark.parametrize("call", [top_eigenpairs, spectral_density, trace, frobenius_norm])
def test_what_is_no_operator_is_named(call: Callable[..., Any]) -> None:
    with pytest.raises(InputError, match=r"not an object of type ndarray; give, for example, dl\.Hessian"):
        call(np.eye(30))


def test_whole_numbers_of_numpy_are_whole_numbers() -> None:
    operator = Dense(np.diag(np.arange(30.0)))
    three = np.int64(3)
    pairs = top_eigenpairs(
        operator, three, np.float32(1e-3), max_steps=np.int32(30), basis_size=np.int64(9), seed=three
    )
    assert len(pairs.eigenvalues) == 3
    assert trace(operator, three, three, known=pairs).probes == 3
