"""What the guides say holds: their commands can be typed, those that need no cluster run, their factors are exact."""

from __future__ import annotations

import contextlib
import io
import re
import runpy
import shlex
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.func import functional_call, hessian

import distlandscape as dl
from distlandscape.cli.main import build_parser, main
from distlandscape.studies import execute
from tests.studies.conftest import Unmirrored
from tests.test_documentation import PAGES, ROOT, blocks

PLACES = {"…": "", "…,": ""}


def commands(page: Path) -> list[str]:
    """Calls of the program: of fenced blocks all, of code in sentences those with the value of an option."""
    lines = [
        line.split(" #")[0]
        for language, text in blocks(page)
        if language == "sh"
        for line in text.replace("\\\n", " ").splitlines()
    ]
    spoken = [code for code in re.findall(r"`([^`\n]+)`", _prose(page)) if re.search(r" --\S+[ =][^ ]", code)]
    found = []
    for line in [*lines, *spoken]:
        call = re.match(r"\s*(?:\w+=\S* )?(distlandscape .*?)(?:\|\||$)", line)
        if call:
            found.append(call[1].strip())
    return found


def _prose(page: Path) -> str:
    return re.sub(r"^\s*```.*?^\s*```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


CALLS = [(page, call) for page in PAGES if page.name != "CHANGELOG.md" for call in commands(page)]


@pytest.mark.parametrize(("page", "call"), CALLS, ids=[f"{page.stem}: {call}" for page, call in CALLS])
def test_a_command_can_be_typed_as_it_stands(page, call):
    words = [word for word in shlex.split(call) if word not in PLACES][1:]
    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.suppress(SystemExit):
        build_parser().parse_args(words)
    assert said.getvalue() == ""


def test_enough_commands_were_found():
    assert len(CALLS) > 30
    assert any(page.name == "many-gpus.md" and " plan " in call for page, call in CALLS)


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """A folder with the files that the guides call the reader's own."""
    text = "data: {source: digits, samples: 60, classes: [0, 1, 2]}\nmodel: {options: {hidden: [4]}}\n"
    small = "train: {steps: 5, checkpoints: 2}\nspectrum: {k: 2, density_steps: 4}\nruntime: {workers: 0}\n"
    (tmp_path / "my.yaml").write_text(text + small, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("page", "call"),
    [
        ("many-gpus.md", "distlandscape plan spectrum --config my.yaml"),
        ("one-gpu.md", "distlandscape spectrum --config my.yaml --workers 0"),
    ],
)
@pytest.mark.usefixtures("mine")
def test_a_command_that_needs_no_cluster_runs(page, call, monkeypatch, capfd):
    assert call in (ROOT / "docs" / "guides" / page).read_text(encoding="utf-8")
    monkeypatch.setattr("distlandscape.studies.probe.PROBE_SECONDS", 0.05)
    monkeypatch.setattr("distlandscape.report.png._png", lambda figure: b"")
    monkeypatch.setattr(execute, "MlflowMirror", Unmirrored)
    assert main(shlex.split(call)[1:]) == 0
    assert "parameters" in capfd.readouterr().out or "plan" not in call


@pytest.fixture(scope="module")
def own_loss(tmp_path_factory):
    """What the blocks of the page on losses leave behind, run one after another as they stand."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3)).double()
    language_model = nn.Sequential(nn.Embedding(7, 3), nn.Tanh(), nn.Linear(3, 7)).double()
    tokens, next_tokens = torch.randint(0, 7, (2, 12, 5)).unbind(0)
    next_tokens[::3, 2:] = -100  # uneven numbers of tokens that count
    given = {"torch": torch, "dl": dl, "model": model, "language_model": language_model}
    given |= {"X": torch.randn(23, 4).double(), "y": torch.arange(23) % 3, "tokens": tokens, "next_tokens": next_tokens}
    given["class_weights"] = torch.tensor([0.5, 2.0, 7.0]).double()
    code = "\n\n".join(text for language, text in blocks("docs/guides/own-loss.md") if language == "python")
    file = tmp_path_factory.mktemp("guide") / "own_loss.py"
    file.write_text(code, encoding="utf-8")
    return runpy.run_path(str(file), init_globals=given)


def largest(model, loss_of, decay=0.0):
    """The two largest eigenvalues of the Hessian of torch's own mean, dense in float64, by magnitude."""
    shapes = {name: p.shape for name, p in model.named_parameters()}
    sizes = [p.numel() for p in model.parameters()]

    def mean(theta):
        pieces = zip(shapes.items(), torch.split(theta, sizes), strict=True)
        weights = {name: piece.view(shape) for (name, shape), piece in pieces}
        return loss_of(lambda x: functional_call(model, weights, (x,))) + 0.5 * decay * theta.square().sum()

    theta = torch.cat([p.detach().reshape(-1) for p in model.parameters()])
    return np.sort(torch.linalg.eigvalsh(hessian(mean)(theta)).numpy())[::-1][:2]


def test_the_factor_of_class_weights_is_torch_s(own_loss):
    criterion = nn.CrossEntropyLoss(weight=own_loss["class_weights"])
    theirs = largest(own_loss["model"], lambda f: criterion(f(own_loss["X"]), own_loss["y"]))
    # Pairs are found to tol = 1e-3 in the residual; a symmetric matrix has an eigenvalue within that of each.
    assert own_loss["eigenvalues"] == pytest.approx(theirs, rel=1e-3)
    ours = dl.top_eigenpairs(dl.Hessian(own_loss["objective"]), k=2).eigenvalues
    assert ours != pytest.approx(theirs, rel=0.05)


def test_the_factor_of_tokens_is_torch_s(own_loss):
    criterion = nn.CrossEntropyLoss(ignore_index=-100)

    def mean(f):
        return criterion(f(own_loss["tokens"]).transpose(1, 2), own_loss["next_tokens"])

    assert own_loss["token_eigenvalues"] == pytest.approx(largest(own_loss["language_model"], mean), rel=1e-3)


def test_weight_decay_goes_with_the_factor(own_loss):
    factor, decay = own_loss["to_torch"].item(), 0.1
    data = (own_loss["X"], own_loss["y"])
    objective = dl.Objective(own_loss["model"], data, loss=own_loss["weighted"], weight_decay=decay / factor)
    criterion = nn.CrossEntropyLoss(weight=own_loss["class_weights"])
    theirs = largest(own_loss["model"], lambda f: criterion(f(own_loss["X"]), own_loss["y"]), decay)
    assert factor * dl.top_eigenpairs(dl.Hessian(objective), k=2).eigenvalues == pytest.approx(theirs, rel=1e-3)


@pytest.mark.parametrize(
    ("targets", "kind"),
    [
        (torch.arange(8) % 3, torch.int64),
        (torch.arange(16).view(8, 2) % 3, torch.int64),
        (torch.rand(8), torch.float64),
        (torch.rand(8, 2), torch.float64),
        (torch.arange(16, dtype=torch.uint8).view(8, 2), torch.float64),
        (torch.rand(8, 2) > 0.5, torch.float64),
    ],
)
def test_targets_arrive_as_the_page_says(targets, kind):
    seen = []

    def loss(outputs, y):
        seen.append((y.dtype, y.shape[1:]))
        return outputs.square().sum(1)

    dl.Objective(nn.Linear(4, 3).double(), (torch.randn(8, 4).double(), targets), loss=loss)
    assert set(seen) == {(kind, targets.shape[1:])}


def test_targets_and_outputs_of_more_dimensions_are_refused():
    x = torch.randn(8, 4)
    with pytest.raises(dl.InputError, match=r"y \(N,\) or \(N, C\)"):
        dl.Objective(nn.Linear(4, 3), (x, torch.rand(8, 2, 2)), loss=lambda z, y: z.sum(1))
    with pytest.raises(dl.InputError, match=r"logits of shape \(n, C\)"):
        dl.Objective(nn.Sequential(nn.Linear(4, 6), nn.Unflatten(1, (2, 3))), (x, torch.arange(8) % 3))
