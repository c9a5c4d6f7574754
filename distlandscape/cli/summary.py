"""The short table a study ends with."""

from __future__ import annotations

from typing import Any


def summary_lines(result: dict[str, Any]) -> list[str]:
    """A few lines for people from a result.json."""
    top = list(zip(result["eigenvalues"], result["residuals"], strict=True))
    low = list(zip(result["lowest"], result["lowest_residuals"], strict=True))
    lines = [
        "",
        f"{result['operator']} of {result['model']} on {result['samples']:,} samples, P = {result['parameters']:,}",
        f"  loss {result['loss']:.4f}"
        + (f", accuracy {100 * result['accuracy']:.1f} %" if result["accuracy"] is not None else ""),
        "",
        "        eigenvalue    residual",
    ]
    shown = [(f"λ{i + 1}", *pair) for i, pair in enumerate(top)]
    shown = shown if len(shown) <= 12 else [*shown[:11], ("…", *shown[-1][1:])]
    shown += [(f"λ−{len(low) - i}", *pair) for i, pair in enumerate(low)]
    lines += [f"  {name:>4}  {value:>12.6g}  {residual:>9.1e}" for name, value, residual in shown]
    lines += [
        "",
        f"  trace      {_with_error(result['trace'])}",
        f"  Frobenius  {_with_error(result['frobenius'])}",
        f"  status     {result['status']}; {result['passes']} passes in {result['wall_s']:.0f} s",
        "",
        f"run id:       {result['run_id']}",
        f"run folder:   {result['run_dir']}",
        f"page:         {result['report']}",
    ]
    return lines


def _with_error(estimate: dict[str, float]) -> str:
    return f"{estimate['value']:.6g} ± {estimate['stderr']:.2g}"
