"""``runtime.tune`` from the command line: one probe, recorded, and never repeated."""

import json
from pathlib import Path
from unittest.mock import Mock

import pytest
import yaml

import distlandscape as dl
from distlandscape.cli.main import main
from distlandscape.cli.submit import job_config
from distlandscape.config import load_config
from distlandscape.runtime.plan import ProductPlan
from distlandscape.studies import execute, runner, spectrum, tuning
from tests.studies.test_spectrum_study import NUMBERS

SECONDS = {"kept": 2.0, "double_backward": 3.0, "forward_over_reverse": 1.0}


pytestmark = pytest.mark.usefixtures("numbers_only")


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


def arguments(out, *settings):
    small = [
        "data.samples=100",
        "data.blocks=1",
        "model.options={hidden: [4]}",
        "train.steps=20",
        "train.checkpoints=2",
        "spectrum.k=3",
    ]
    small += ["spectrum.density_steps=10", "spectrum.trace_probes=2", "runtime.tune=true", *settings]
    return ["spectrum", *(f"--set={s}" for s in small), "--workers", "0", "--json", "--out", str(out)]


@pytest.fixture
def probe(monkeypatch):
    """The questions that were asked; the answer is forward over reverse, by a clock of its own."""
    asked = []

    def pick(question):
        asked.append(question)
        method = "forward_over_reverse" if len(question.methods) > 1 else question.methods[0]
        return ProductPlan(method, question.plan.memory), SECONDS

    monkeypatch.setattr(tuning, "pick", pick)
    return asked


@pytest.fixture
def plans(monkeypatch):
    """The plans that runners were made with."""
    made = []
    real = execute.LocalRunner
    monkeypatch.setattr(execute, "LocalRunner", lambda *a, plan, **k: made.append(plan) or real(*a, plan=plan, **k))
    return made


def test_the_pick_is_recorded_and_a_resume_does_not_probe(out, capfd, monkeypatch, probe, plans):
    assert main(arguments(out)) == 0
    said = capfd.readouterr()
    whole = json.loads(said.out)
    assert "runtime.tune picked forward_over_reverse by the time of a micro-batch: kept 2e+03 ms" in said.err
    (question,) = probe
    assert question.products[0][0] is dl.Hessian.products
    assert (question.workers, question.on_cpu) == (1, False)
    run = dl.open_run(whole["run_dir"])
    assert run.config["runtime"]["product"] == "forward_over_reverse"
    assert run.config["runtime"]["channels_last"] is True
    assert run.identity["tuned"] == {"picked": "forward_over_reverse", "seconds": SECONDS}
    assert whole["provenance"]["product"] == "forward_over_reverse"

    with monkeypatch.context() as context:
        context.setattr(spectrum, "spectral_density", Mock(side_effect=KeyboardInterrupt))
        assert main(arguments(out)) == 130
    capfd.readouterr()
    (cut,) = (run for run in map(dl.open_run, out.glob("spectrum-*")) if run.status == "interrupted")
    assert main(["resume", str(cut.path), "--json"]) == 0
    resumed = json.loads(capfd.readouterr().out)
    assert len(probe) == 2  # once for each of the two runs
    assert [resumed[key] for key in NUMBERS] == [whole[key] for key in NUMBERS]
    assert plans == [ProductPlan("forward_over_reverse")] * 3

    # The recorded file is that of a run whose settings are all given: it is repeatable, and probes no more.
    assert main(["spectrum", "--config", str(run.path / "config.yaml"), "--json", "--out", str(out)]) == 0
    again = json.loads(capfd.readouterr().out)
    assert len(probe) == 2
    assert [again[key] for key in NUMBERS] == [whole[key] for key in NUMBERS]


def test_what_is_set_wins(out, capfd, probe, plans):
    assert main(arguments(out, "runtime.product=double_backward", "train.checkpoints=1")) == 0
    (question,) = probe
    assert (question.methods, question.layouts) == (("double_backward",), (True, False))
    assert plans[-1] == ProductPlan("double_backward")
    both = ("runtime.product=double_backward", "runtime.channels_last=false", "train.checkpoints=1")
    assert main(arguments(out, *both)) == 0
    assert len(probe) == 1  # there was nothing to pick
    assert plans[-1] == ProductPlan("double_backward", channels_last=False)
    capfd.readouterr()


def test_nothing_is_probed_unasked(out, capfd, probe, plans):
    assert main([*arguments(out, "train.checkpoints=1"), "--set=runtime.tune=false"]) == 0
    assert probe == []
    assert plans == [ProductPlan()]
    result = json.loads(capfd.readouterr().out)
    assert "tuned" not in dl.open_run(result["run_dir"]).identity


def test_the_operator_of_the_spectrum_is_timed(probe):
    settings = ["spectrum.operator=fisher", "runtime.tune=true", "runtime.workers=3", "data.samples=100"]
    config = runner.resolve(load_config(None, settings), "spectrum")
    objective = runner.build_objective(config)
    runner.tuned(config, objective, runner.main_operator("spectrum", config, objective))
    assert runner.main_operator("emergence", config, objective) is None
    (question,) = probe
    assert question.products[0] == (dl.Fisher.products, ("model", 0))
    assert (question.workers, question.on_cpu) == (3, True)


def test_workers_on_gpus_are_probed_there(probe, monkeypatch):
    """One worker answers for all, by the resources each has."""
    made = []

    class FakePool:
        def __init__(self, *arguments):
            made.append(arguments)

        def __enter__(self):
            return self

        def __exit__(self, *_):
            made.append("ended")

        def map_tasks(self, function, items):
            return [function(item) for item in items]

    monkeypatch.setattr(tuning, "Pool", FakePool)
    settings = ["runtime.tune=true", "runtime.workers=4", "runtime.gpus_per_worker=1", "data.samples=100"]
    config = runner.resolve(load_config(None, settings), "spectrum")
    picked, timings = runner.tuned(config, runner.build_objective(config))
    assert made == [(1, 1, 1, 1), "ended"]
    assert (len(probe), probe[0].workers, probe[0].on_cpu) == (1, 4, False)
    assert picked.runtime.product == "forward_over_reverse"
    assert timings["seconds"] == SECONDS


def test_a_job_leaves_the_choice_to_the_cluster(tmp_path: Path):
    """What submit hands over is the whole configuration, with nothing set that the user did not set."""
    file = tmp_path / "config.yaml"
    file.write_text("runtime: {tune: true}\n", encoding="utf-8")
    from distlandscape.cli.main import build_parser

    args = build_parser().parse_args(["submit", "spectrum", "--config", str(file), "--out", str(tmp_path)])
    tree = yaml.safe_load(yaml.safe_dump(job_config(args)))
    assert (tree["runtime"]["tune"], tree["runtime"]["product"], tree["runtime"]["channels_last"]) == (True, None, None)
