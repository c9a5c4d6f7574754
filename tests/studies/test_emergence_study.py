"""The emergence study on networks of which everything is known: logits and logit gradients drawn from the model."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from mlflow import MlflowClient
from safetensors.torch import save_file

import distlandscape as dl
from distlandscape.cli.main import main
from distlandscape.cli.summary import summary_lines
from tests.report.reading import figures_of, words_of
from tests.studies import planted
from tests.studies.planted import SIGMA_E, SIGMA_Z, C, D

CLUSTERED = ["logit gradients cluster", "C − 1 or C outliers", "the gradient is confined", "λ_max rises, then falls"]


def arguments(folder):
    keys = [
        f"model={{name: 'tests.studies.planted:planted', options: {{classes: {C}, dim: {D}}}}}",
        *("data.source=npz", f"data.path={folder / 'planted.npz'}", "data.blocks=4", "objective.parameters=[theta]"),
        *(f"emergence.checkpoints={folder / 'given'}", "runtime.threads=1", "emergence.trace_probes=32"),
        *("emergence.density_steps=5", "emergence.draws=60"),
    ]
    return ["emergence", *(word for key in keys for word in ("--set", key)), "--workers", "0"]


@pytest.fixture(scope="module")
def whole(empty_database, tmp_path_factory):
    """The result of each planted network, made once."""
    results = {}

    def result(sigma_c, capfd):
        if sigma_c not in results:
            out = tmp_path_factory.mktemp("planted")
            planted.write(out, sigma_c)
            shutil.copy(empty_database, out / "mlflow.db")
            assert main([*arguments(out), "--out", str(out), "--json"]) == 0
            results[sigma_c] = json.loads(capfd.readouterr().out)
        return results[sigma_c]

    return result


def words(result):
    return {v["claim"]: v["verdict"] for v in result["verdicts"]}


def test_the_model_s_own_data_give_back_its_scales_and_every_claim_holds(whole, capfd):
    result = whole(1.0, capfd)
    rows = dl.open_run(result["run_dir"]).table("checkpoints").to_pylist()
    assert [row["step"] for row in rows] == [10**i for i in range(5)]
    for row, sigma_z in zip(rows, SIGMA_Z, strict=True):
        assert row["sigma_c"] == pytest.approx(sigma_z**0.25, rel=0.05)
        assert row["sigma_e"] == pytest.approx(SIGMA_E, rel=0.05)
        assert row["sigma_z"] == pytest.approx(sigma_z, rel=0.05)
        assert row["residual_share"] == 0
        assert row["top_share_g"] == pytest.approx(1, abs=1e-5)
        assert row["trace_g"] == pytest.approx(row["trace"], rel=1e-5)
    assert words(result) == dict.fromkeys(words(result), "holds"), result["verdicts"]
    assert len(words(result)) == 7
    assert any("λ_max rises" in line for line in summary_lines("emergence", result))


@pytest.mark.usefixtures("numbers_only")
def test_without_clusters_the_verdicts_that_rest_on_them_turn(whole, capfd):
    result = whole(0.0, capfd)
    found = words(result)
    assert {claim for claim, verdict in found.items() if verdict == "does not hold"} == set(CLUSTERED), found


def test_page_and_mirror(whole, capfd):
    result = whole(1.0, capfd)
    page = Path(result["report"])
    figures = ["outliers", "confined", "sharpness", "goldilocks", "inputs", "overlaps", "density"]
    assert list(figures_of(page)) == figures
    for name in figures:
        assert (page.parent / "figures" / f"{name}.png").stat().st_size > 5_000
    seen = words_of(page)
    assert "7 of 7 claims of the paper hold on this network as the random model predicts, 7 of 7 on the" in seen
    along = [word for v in result["verdicts"] for word in v["along"]]
    assert len(along) == 6 * 5  # six claims are judged at each checkpoint
    assert seen.count("✓") == along.count("holds") + 1  # and the table's own words
    assert seen.index("Claims and verdicts") < seen.index("By step of training") < seen.index("Property 1")
    assert "Parts are missing" not in seen
    client = MlflowClient(f"sqlite:///{page.parent.parent / 'mlflow.db'}")
    run = client.get_run(result["run_id"])
    assert run.info.status == "FINISHED"
    assert run.data.metrics["verdict/4"] == 1
    assert [p.value for p in client.get_metric_history(result["run_id"], "sigma_c")] == pytest.approx(
        [row["sigma_c"] for row in dl.open_run(result["run_dir"]).table("checkpoints").to_pylist()]
    )


@pytest.mark.usefixtures("numbers_only")
def test_a_run_cut_off_between_stages_ends_with_the_same_bits(whole, capfd, tmp_path):
    result = whole(1.0, capfd)
    folder = tmp_path / Path(result["run_dir"]).name
    shutil.copytree(Path(result["run_dir"]).parent, tmp_path, dirs_exist_ok=True)
    log = folder / "log.jsonl"
    lines = log.read_text().splitlines(keepends=True)
    late = next(i for i, line in enumerate(lines) if "curvature-003" in line and '"stage"' in line)
    log.write_text("".join(lines[:late]))
    for file in [*folder.glob("tables/*"), folder / "result.json", folder / "report.html"]:
        file.unlink()
    shutil.rmtree(tmp_path / "given")  # the run has its own copies
    assert main(["resume", str(folder), "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["verdicts"] == result["verdicts"]
    resumed, before = dl.open_run(folder), dl.open_run(result["run_dir"])
    for file in sorted(before.path.glob("tables/*.parquet")):
        assert resumed.table(file.stem) == before.table(file.stem), file.stem


def other_shape(given):
    state = {"theta": torch.zeros(D + 1), "c": torch.zeros(C, D), "gain": torch.ones(1)}
    save_file(state, given / "step-000020.safetensors")


@pytest.mark.parametrize(
    ("spoil", "keys", "sentence"),
    [
        (lambda given: [f.unlink() for f in given.iterdir()], [], "holds no weights files"),
        (lambda given: shutil.rmtree(given), [], "not an existing folder"),
        (lambda given: (given / "step-000010.safetensors").rename(given / "last.safetensors"), [], "no step in its"),
        (lambda given: shutil.copy(given / "step-000010.safetensors", given / "10.safetensors"), [], "both of step 10"),
        (other_shape, [], "give weights of this very model"),
        (lambda given: None, ["train.steps=5"], "leave one of them out"),
        (lambda given: None, ["train.learning_rate=0"], "greater than 0"),
        (lambda given: None, ["objective.loss=mse"], "the loss is not cross_entropy"),
        (lambda given: None, ["emergence.plane=1000"], "lower it"),
        (lambda given: None, ["emergence.max_steps=3"], "raise it"),
    ],
)
def test_bad_input_is_told_before_a_run_begins(spoil, keys, sentence, tmp_path, capfd):
    planted.write(tmp_path, 1.0)
    spoil(tmp_path / "given")
    more = [word for key in keys for word in ("--set", key)]
    assert main([*arguments(tmp_path), *more, "--out", str(tmp_path / "out")]) == 2
    told = capfd.readouterr().err
    assert sentence in told
    assert told.count("\n") == 1
    assert not list(tmp_path.glob("out/emergence-*"))


@pytest.mark.usefixtures("numbers_only", "ray_session")
def test_workers_give_the_same_bits(capfd, tmp_path):
    planted.write(tmp_path, 1.0)
    for given in sorted((tmp_path / "given").iterdir())[2:]:
        given.unlink()
    out = str(tmp_path / "out")
    few = [word for key in ("trace_probes=2", "draws=4") for word in ("--set", f"emergence.{key}")]
    results = []
    for where in (["--workers", "0"], ["--workers", "2", "--transport", "collective"]):
        assert main([*arguments(tmp_path)[:-2], *few, *where, "--out", out, "--json"]) == 0
        results.append(json.loads(capfd.readouterr().out))
    assert results[0]["verdicts"] == results[1]["verdicts"]
    tables = [dl.open_run(result["run_dir"]).table("checkpoints") for result in results]
    assert tables[0] == tables[1]
