"""The short table a study ends with."""

from __future__ import annotations

import math
import shlex
from typing import Any

from distlandscape.convergence import convergence_words


def summary_lines(study: str, result: dict[str, Any]) -> list[str]:
    """A few lines for people from the result.json of a study."""
    lines = SUMMARIES.get(study, _spectrum)(result)
    return [
        "",
        *lines,
        "",
        f"run id:        {result['run_id']}",
        f"run directory: {result['run_dir']}",
        f"page:          {result['report']}",
    ]


def _spectrum(result: dict[str, Any]) -> list[str]:
    marks = _marks(result)
    top = list(zip(result["eigenvalues"], result["residuals"], marks, strict=False))
    low = list(zip(result["lowest"], result["lowest_residuals"], marks[len(top) :], strict=True))
    shown = [(f"λ{i + 1}", *pair) for i, pair in enumerate(top)]
    shown = shown if len(shown) <= 12 else [*shown[:11], ("…", *shown[-1][1:])]
    shown += [(f"λ−{len(low) - i}", *pair) for i, pair in enumerate(low)]
    return [
        f"{result['operator']} of {_subject(result)}",
        f"  {_loss(result['loss'], result['accuracy'])}",
        "",
        "        eigenvalue    residual",
        *(f"  {name:>4}  {value:>12.6g}  {residual:>9.1e}{mark}" for name, value, residual, mark in shown),
        "",
        f"  trace      {_with_error(result['trace'])}",
        f"  Frobenius  {_with_error(result['frobenius'])}",
        f"  status     {result['status']}; {result['passes']} passes in {result['wall_s']:.0f} s",
    ]


def _marks(result: dict[str, Any]) -> list[str]:
    """What to say behind each pair that did not simply converge."""
    good = result["converged"]
    unmarked = [False] * len(good)  # in results of runs before there were marks
    pairs = zip(good, result.get("at_rounding", unmarked), result.get("relative", unmarked), strict=True)
    words = [convergence_words(good, rounding, math.inf if ratio is None else ratio) for good, rounding, ratio in pairs]
    return ["" if word == "yes" else f"  {'not converged' if word == 'no' else word}" for word in words]


def _train(result: dict[str, Any]) -> list[str]:
    config, weights = f"{result['run_dir']}/config.yaml", f"model.weights={result['weights']}"
    measure = ["spectrum", "--config", config, "--set", "train.steps=0", "--set", weights]
    count = len(result["checkpoints"])
    held_out = []
    if result["test_loss"] is not None:
        held_out = [f"  {_loss(result['test_loss'], result['test_accuracy'])} on held-out samples"]
    return [
        f"training of {_subject(result)}",
        f"  {_loss(result['loss'], result['accuracy'])} after {result['steps']:,} steps",
        *held_out,
        f"  {count} checkpoint{'' if count == 1 else 's'} kept; {result['wall_s']:.0f} s",
        "",
        f"weights:       {result['weights']}",
        f"measure them:  distlandscape {shlex.join(measure)}",
    ]


def _theory(result: dict[str, Any]) -> list[str]:
    rows = {
        "outlier": "top",
        "bulk_edge": "bulk",
        "overlap": "overlap",
        "confinement": "confinement",
        "trace": "trace",
        "frobenius": "frobenius",
        "trace_over_frobenius": "trace_over_frobenius",
    }
    lines = [f"random model of {result['classes']} classes, {result['draws']} draws in {result['wall_s']:.0f} s", ""]
    lines.append("                          predicted    mean of draws")
    for name, column in rows.items():
        predicted = result["predicted"][name]
        told = f"{predicted:>12.5g}" if predicted is not None else "        none"
        lines.append(f"  {name:<22}{told}    {result['measured'][column]:.5g} ± {result['stderr'][column]:.2g}")
    return lines


def _hyperplane(result: dict[str, Any]) -> list[str]:
    from distlandscape.report.plane_curves import crossing_words

    found, chance = result["d_int90"], result["chance"]
    lines = [
        f"planes through the weights of {_subject(result)}",
        f"  {result['trainings']} trainings in {result['wall_s']:.0f} s; accuracy in full space"
        f" {100 * found['baseline']:.1f} % on {result['evaluated_on']}, of a constant answer"
        f" {100 * chance['accuracy']:.1f} %",
        "",
        "  kind       start at     d    accuracy                  success",
    ]
    for row in result["dimensions"]:
        low, high = 100 * row["accuracy_low"], 100 * row["accuracy_high"]
        success = "–"
        if "success" in row:
            ends = f"{100 * row['success_low']:.0f} to {100 * row['success_high']:.0f}"
            success = f"{100 * row['success']:.0f} % ({ends})"
        lines.append(
            f"  {row['kind']:<10} {row['burn_in']:>6} {row['dimension']:>8}    {100 * row['accuracy']:5.1f} %"
            f" ({low:5.1f} to {high:5.1f})    {success}"
        )
    if found["threshold"] is None:
        return [*lines, "", f"  {result['status']}"]
    lines += ["", f"  d_int90, where accuracy reaches {100 * found['threshold']:.1f} %"]
    for one in result["series"]:
        lines.append(f"  {one['kind']:<10} {one['burn_in']:>6}    {crossing_words(one['d_int90'])}")
    return [
        *lines,
        f"  status     {result['status']}",
    ]


def _clustering(result: dict[str, Any]) -> list[str]:
    told = {
        "q_SLSC": ("q_slsc", "same logit, both of its class"),
        "q_SLDC": ("q_sldc", "same logit, different classes"),
        "q_SL": ("q_sl", "same logit, any pair"),
        "q_DL": ("q_dl", "different logits, any pair"),
        "q_DL, μ = ν": ("q_dl_same_sample", "different logits of one sample"),
    }
    share = f"{result['sigma_z_over_scale']:.3f} of the freezing scale"
    return [
        f"logit gradients of {_subject(result)}",
        f"  {_loss(result['loss'], result['accuracy'])}",
        "",
        "  mean cosine of pairs of logit gradients",
        *(f"  {name:<12}{result[key]:>9.4f}  {meaning}" for name, (key, meaning) in told.items()),
        f"  q_SLSC ≥ q_SL ≥ 5 |q_DL| {'holds' if result['ordering']['holds'][-1] else 'does not hold'}",
        "",
        f"  length {result['length_mean']:.4g}, sd {result['length_sd']:.2g}",
        f"  σ_z {result['sigma_z']:.4g}, {share}; E Σp² {result['sum_p2']:.4f}; entropy {result['entropy']:.4f} nats",
        f"  {result['passes']} passes in {result['wall_s']:.0f} s",
    ]


def _hierarchy(result: dict[str, Any]) -> list[str]:
    columns = ("eigenvalues", "residuals", "belongs_to", "own_cosine", "own_span")
    rows = zip(*(result[name][:12] for name in columns), strict=True)
    traces = result["traces"]
    shares = ", ".join(f"G{i} {100 * value / traces['total']:.1f} %" for i, value in enumerate(traces["levels"]))
    return [
        f"class structure of {_subject(result)}",
        f"  {_loss(result['loss'], result['accuracy'])}",
        "",
        "  outliers of the Hessian, the class mean next to each, squared cosine with it, share in the span of all",
        "        eigenvalue    residual  class  cosine²    span",
        *(
            f"  {f'λ{i + 1}':>4}  {v:>12.6g}  {r:>9.1e}  {c:>5}  {q:>7.3f}  {s:>6.3f}"
            for i, (v, r, c, q, s) in enumerate(rows)
        ),
        "",
        f"  Tr G       {traces['total']:.6g}: {shares}",
        f"  G0         {', '.join(f'{value:.4g}' for value in result['g0'][:10])}",
        f"  status     {result['status']}; {result['passes']} passes in {result['wall_s']:.0f} s",
    ]


def _goldilocks(result: dict[str, Any]) -> list[str]:
    planes = [row["plane"] for row in result["planes"]]
    lines = [
        f"random points of {_subject(result)}",
        f"  {result['trainings']} trainings in {result['wall_s']:.0f} s; accuracy on {result['held_out']}",
        "",
        "  T      r/Glorot      |θ|    Tr H/‖H‖_F         random model    E Σp²   positive in d = "
        + ", ".join(map(str, planes)),
    ]
    for row in result["radii"]:
        ratio = "none" if row["ratio"] is None else f"{row['ratio']:.3g} ± {row['ratio_stderr']:.2g}"
        model = "none" if row["model_ratio"] is None else f"{row['model_ratio']:.3g}"
        shares = ", ".join(f"{100 * row[f'positive_{d}']:.0f} %" for d in planes)
        lines.append(
            f"  {row['temperature']:<6g} {row['multiple']:>8.3g} {row['radius']:>8.3g}    {ratio:<18} {model:<12}"
            f" {row['sum_p2']:>7.3f}   {shares}"
        )
    for row in result["inside"]:
        told = [f"{100 * row[k]:.1f} %" if row[k] is not None else "none" for k in ("inside", "outside")]
        lines.append(
            f"  d = {row['dimension']}, {row['mode']}: accuracy {told[0]} inside the zone, {told[1]} outside, best at"
            f" {row['best_multiple']:g} × Glorot"
        )
    if result["point"] is not None:
        lines += ["", *_point(result["point"])]
    return [*lines, f"  status     {result['status']}"]


def _point(point: dict[str, Any]) -> list[str]:
    ratio = "none, H = 0" if point["ratio"] is None else f"{point['ratio']:.3g} ± {point['ratio_stderr']:.2g}"
    beside = "" if point["random_ratio"] is None else f", {point['random_ratio']:.3g} at random points of its radius"
    where = {True: "inside the zone", False: "outside the zone", None: "with no zone to compare with"}[point["inside"]]
    shares = ", ".join(f"{100 * share:.0f} % in d = {d}" for d, share in point["positive"].items())
    return [
        f"  the point  |θ| = {point['radius']:.4g}, {point['multiple']:.3g} × Glorot: {where}",
        f"             Tr H/‖H‖_F {ratio}{beside}; positive curvature {shares}",
    ]


def _emergence(result: dict[str, Any]) -> list[str]:
    lines = [
        f"emergent properties of {_subject(result)}",
        f"  {_loss(result['loss'], result['accuracy'])} at the last checkpoint",
        "",
        f"  {'claim':<38}{'measured':>10}{'predicted':>11}{'error':>9}  verdict",
    ]
    for v in result["verdicts"]:
        measured, predicted, error = (
            "?" if v[n] is None else f"{v[n]:.3g}" for n in ("measured", "predicted", "error")
        )
        alone = "" if v["observed"] == v["verdict"] else f" (network alone: {v['observed']})"
        lines.append(f"  {v['claim']:<38}{measured:>10}{predicted:>11}{error:>9}  {v['verdict']}{alone}")
        lines.append(f"      {v['why']}")
    return [
        *lines,
        "",
        f"  random model: σ_c {result['sigma_c']:.3g}, σ_E {result['sigma_e']:.3g}, σ_z {result['sigma_z']:.3g}",
        f"  status     {result['status']}; {result['passes']} passes in {result['wall_s']:.0f} s",
    ]


def _subject(result: dict[str, Any]) -> str:
    described = result.get("described_parameters", "")  # runs of before have none
    left_out = f" ({described})" if " of " in described else ""
    return f"{result['model']} on {result['samples']:,} samples, P = {result['parameters']:,}{left_out}"


def _loss(loss: float, accuracy: float | None) -> str:
    return f"loss {loss:.4f}" + ("" if accuracy is None else f", accuracy {100 * accuracy:.1f} %")


def _with_error(estimate: dict[str, float]) -> str:
    return f"{estimate['value']:.6g} ± {estimate['stderr']:.2g}"


SUMMARIES = {
    "train": _train,
    "theory": _theory,
    "clustering": _clustering,
    "hierarchy": _hierarchy,
    "emergence": _emergence,
    "hyperplane": _hyperplane,
    "goldilocks": _goldilocks,
}
