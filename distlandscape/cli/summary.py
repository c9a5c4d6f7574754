"""The short table a study ends with."""

from __future__ import annotations

import shlex
from typing import Any


def summary_lines(result: dict[str, Any]) -> list[str]:
    """A few lines for people from a result.json."""
    lines = _spectrum(result) if "eigenvalues" in result else _training(result)
    return [
        "",
        *lines,
        "",
        f"run id:       {result['run_id']}",
        f"run folder:   {result['run_dir']}",
        f"page:         {result['report']}",
    ]


def _training(result: dict[str, Any]) -> list[str]:
    lines = [
        f"trained {result['model']} for {result['steps']:,} steps on {result['samples']:,} samples,"
        f" P = {result['parameters']:,}",
        f"  train   {_quality(result['loss'], result['accuracy'])}",
    ]
    if result["test_loss"] is not None:
        lines.append(f"  test    {_quality(result['test_loss'], result['test_accuracy'])}")
    return [
        *lines,
        f"  {len(result['checkpoints'])} checkpoints in {result['wall_s']:.0f} s",
        "",
        f"weights:      {result['weights']}",
        f"measure them: distlandscape spectrum --config {shlex.quote(result['run_dir'])}/config.yaml --set"
        f" model.weights={shlex.quote(result['weights'])} --set train.steps=0",
    ]


def _quality(loss: float, accuracy: float | None) -> str:
    return f"loss {loss:.4f}" + (f", accuracy {100 * accuracy:.1f} %" if accuracy is not None else "")


def _spectrum(result: dict[str, Any]) -> list[str]:
    top = list(zip(result["eigenvalues"], result["residuals"], strict=True))
    low = list(zip(result["lowest"], result["lowest_residuals"], strict=True))
    lines = [
        f"{result['operator']} of {result['model']} on {result['samples']:,} samples, P = {result['parameters']:,}",
        f"  {_quality(result['loss'], result['accuracy'])}",
        "",
        "        eigenvalue    residual",
    ]
    shown = [(f"λ{i + 1}", *pair) for i, pair in enumerate(top)]
    shown = shown if len(shown) <= 12 else [*shown[:11], ("…", *shown[-1][1:])]
    shown += [(f"λ−{len(low) - i}", *pair) for i, pair in enumerate(low)]
    lines += [f"  {name:>4}  {value:>12.6g}  {residual:>9.1e}" for name, value, residual in shown]
    return [
        *lines,
        "",
        f"  trace      {_with_error(result['trace'])}",
        f"  Frobenius  {_with_error(result['frobenius'])}",
        f"  status     {result['status']}; {result['passes']} passes in {result['wall_s']:.0f} s",
    ]


def _with_error(estimate: dict[str, float]) -> str:
    return f"{estimate['value']:.6g} ± {estimate['stderr']:.2g}"
