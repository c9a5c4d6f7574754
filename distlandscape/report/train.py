"""The page of the train study."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from distlandscape.report import interactive_steps, png_steps
from distlandscape.report.figure import Figure, Rows, Sentence, StudyPage
from distlandscape.report.numbers import number
from distlandscape.report.tables import RunView

FIGURES = {
    "training": Figure(
        "Training",
        (
            "The loss of mini-batches, each taken before its update (thin), and loss and accuracy over all samples at"
            " the checkpoints that were kept (marks); below them the learning rate.",
            "Mini-batches are measured in train mode, with dropout and with BatchNorm by the batch's own statistics;"
            " checkpoints in eval mode. All losses include the weight decay. How well the network does on other samples"
            " is told by held-out ones alone.",
        ),
        lambda view: view.training is not None,
        png_steps.training,
        interactive_steps.training,
    ),
}


def answer(view: RunView) -> Sentence:
    """Loss and accuracy at the end, or how far training is."""
    t: dict[str, Any] = view.config["train"]
    result = view.result
    if not result:
        return _so_far(view, t)
    decay = " with weight decay" if view.config["objective"]["weight_decay"] else ""
    parts: Sentence = [(f"After {result['steps']:,} steps of {_optimizer(t)} the mean loss{decay} is ", False)]
    parts += [(number(result["loss"]), True)]
    if result["accuracy"] is not None:
        parts += [(" and the accuracy ", False), (percent(result["accuracy"]), True)]
    parts += [(f", over the {result['samples']:,} samples it was trained on", False)]
    if result.get("test_loss") is not None:
        parts += [("; on held-out samples they are ", False), (number(result["test_loss"]), True)]
        if result["test_accuracy"] is not None:
            parts += [(" and ", False), (percent(result["test_accuracy"]), True)]
    return [*parts, (".", False)]


def _so_far(view: RunView, t: dict[str, Any]) -> Sentence:
    if view.training is None:
        return []
    step, loss = int(view.training["step"][-1]), float(view.training["loss"][-1])
    done: Sentence = [
        (f"After {step:,} of {t['steps']:,} steps of {_optimizer(t)} the loss of a mini-batch was ", False)
    ]
    return [*done, (number(loss), True), (".", False)]


def _optimizer(t: dict[str, Any]) -> str:
    return {"sgd": "SGD", "adam": "Adam"}[t["optimizer"]]


def percent(share: float | None) -> str:
    """An accuracy, in per cent; a dash where there is none."""
    return "–" if share is None else f"{100 * share:.2f} %"


def _checkpoints(view: RunView) -> list[Rows]:
    table = view.tables.get("checkpoints")
    if table is None:
        return []
    shown: dict[str, tuple[str, Callable[[Any], str]]] = {
        "step": ("step", "{:,}".format),
        "loss": ("loss", number),
        "accuracy": ("accuracy", percent),
        "test_loss": ("held-out loss", number),
        "test_accuracy": ("held-out accuracy", percent),
        "gradient_norm": ("|gradient|", number),
        "file": ("file", str),
    }
    columns = [name for name in shown if name in table.column_names]
    rows = [tuple(shown[name][1](row[name]) for name in columns) for row in table.sort_by("step").to_pylist()]
    return [Rows("Checkpoints", tuple(shown[name][0] for name in columns), rows)]


PAGE = StudyPage(
    subject=lambda view: "training",
    answer=answer,
    figures=FIGURES,
    parts={"training": "the course of training", "checkpoints": "loss and accuracy at the checkpoints"},
    optional=(),
    doubts=lambda view: [],
    folded=_checkpoints,
)
