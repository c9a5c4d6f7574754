"""Bad input from the command line: exit code 2, one sentence on standard error, nothing begun, nothing left behind."""

from __future__ import annotations

import json
import pickle
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from distlandscape.cli.main import main
from distlandscape.models import build_model, save_weights

N, C = 40, 3


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Files to name in the cases."""
    tmp_path = tmp_path_factory.mktemp("files")
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((N, 4)), np.arange(N) % C
    holes, infinite = x.copy(), x.copy()
    holes[3, 2], infinite[5, 1] = np.nan, np.inf
    archives = {
        "good": {"x": x, "y": y},
        "nan": {"x": holes, "y": y},
        "inf": {"x": infinite, "y": y},
        "nan_y": {"x": x, "y": np.where(y == 1, np.nan, y)},
        "negative": {"x": x, "y": y - 1},
        "huge": {"x": x, "y": y + 10**9},
        "real": {"x": x, "y": y + 0.5},
        "columns": {"x": x, "y": np.eye(C)[y]},
        "no_x": {"X": x, "y": y},
        "no_y": {"x": x},
        "objects": {"x": np.array([[None]] * N), "y": y},
        "text": {"x": np.array([["a"]] * N), "y": y},
        "complex": {"x": x + 1j, "y": y},
        "empty": {"x": x[:0], "y": y[:0]},
        "no_features": {"x": x[:, :0], "y": y},
        "unequal": {"x": x, "y": y[:-1]},
        "flat": {"x": x[:, 0], "y": y},
        "cube": {"x": x, "y": np.ones((N, 2, 2))},
        "scalars": {"x": 1.0, "y": 2.0},
        "tokens": {"x": np.ones((N, 4), int), "y": y},
        "one_class": {"x": x, "y": np.zeros(N, int)},
        "lonely": {"x": x, "y": np.where(np.arange(N) == N - 1, 2, np.arange(N) % 2)},
    }
    for name, arrays in archives.items():
        np.savez(tmp_path / f"{name}.npz", **arrays)
    content = (tmp_path / "good.npz").read_bytes()
    (tmp_path / "truncated.npz").write_bytes(content[: len(content) // 2])
    (tmp_path / "words.npz").write_text("x,y\n1,2\n")
    (tmp_path / "zero.npz").touch()
    np.save(tmp_path / "single.npy", x)

    model = build_model("mlp", (4,), C, {"hidden": [5]}, seed=0)
    save_weights(model, tmp_path / "good.safetensors")
    state = model.state_dict()
    save_file({**state, "1.bias": torch.full((5,), torch.nan)}, tmp_path / "nan.safetensors")
    save_file({**state, "more": torch.ones(1)}, tmp_path / "extra.safetensors")
    save_file({k: v for k, v in state.items() if k != "1.bias"}, tmp_path / "missing.safetensors")
    torch.save(model, tmp_path / "objects.pt")
    torch.save({**state, "more": torch.ones(1)}, tmp_path / "more.pt")
    (tmp_path / "truncated.pt").write_bytes((tmp_path / "more.pt").read_bytes()[:-900])
    (tmp_path / "pickle.safetensors").write_bytes(pickle.dumps({"1.bias": [1.0]}))
    (tmp_path / "truncated.safetensors").write_bytes((tmp_path / "good.safetensors").read_bytes()[:-9])

    (tmp_path / "file").write_text("a file, not a folder")
    (tmp_path / "list.yaml").write_text("- data\n- model\n")
    (tmp_path / "tabs.yaml").write_text("data:\n\tsource: npz\n")
    (tmp_path / "two.yaml").write_text("data: {}\n---\ndata: {}\n")
    (tmp_path / "twice.yaml").write_text("train: {steps: 1}\ntrain: {steps: 2}\n")
    (tmp_path / "binary.yaml").write_bytes(b"\x93NUMPY\xff\xfe")
    bomb = ["a: &a0 [x, x]", *(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]" for i in range(1, 60))]
    (tmp_path / "bomb.yaml").write_text("\n".join(bomb))
    (tmp_path / "deep.yaml").write_text("[" * 20000)
    (tmp_path / "unknown.yaml").write_text("spectrum: {eigenvalues: 10}\n")
    (tmp_path / "list_section.yaml").write_text("data: [digits]\n")

    (tmp_path / "runs").mkdir()
    (tmp_path / "torn" / "run").mkdir(parents=True)
    (tmp_path / "torn" / "run" / "run.json").write_text("{")
    (tmp_path / "strange").mkdir()
    (tmp_path / "strange" / "run.json").write_text(json.dumps({"run_id": "0" * 32, "study": "astrology"}))
    (tmp_path / "strange" / "config.yaml").write_text("{}\n")
    finished = tmp_path / "finished" / "run"
    finished.mkdir(parents=True)
    (finished / "run.json").write_text(json.dumps({"run_id": "0" * 32, "study": "spectrum"}))
    (finished / "config.yaml").write_text("runtime: {workers: 0, threads: 1}\n")
    events = [{"event": "started", "time": 1.0}, {"event": "ended", "time": 2.0, "status": "done"}]
    (finished / "log.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))
    return tmp_path


@pytest.fixture
def folder(files, tmp_path, monkeypatch):
    """The files, in the working directory; nothing past the checks may be reached."""
    shutil.copytree(files, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)

    def begun(*arguments, **options):
        raise AssertionError("the run began")

    monkeypatch.setattr("distlandscape.record.run.Run.create", begun)
    monkeypatch.setattr("distlandscape.runtime.pool.Pool.__enter__", begun)
    monkeypatch.setattr("distlandscape.record.mlflow_mirror.MlflowMirror.push", begun)
    threads = torch.get_num_threads()
    yield tmp_path
    torch.set_num_threads(threads)


def npz(name, *options):
    return ["spectrum", *sets("data.source=npz", f"data.path={name}", "model.options={hidden: [5]}", *options)]


def sets(*assignments):
    return [word for assignment in assignments for word in ("--set", assignment)]


def digits(*options):
    return ["spectrum", *sets("model.options={hidden: []}", *options)]


def classes(study, *options):
    return [study, *sets("data.source=npz", "data.path=good.npz", "model.options={hidden: [5]}", *options)]


def weights(name):
    return npz("good.npz", f"model.weights={name}")


FACTORIES = "tests.models.factories"
ONE_LOGIT = f"model={{name: '{FACTORIES}:linear', options: {{width: 4, outputs: 1}}}}"
CASES = {
    # the configuration
    "unknown key": (digits("spectrum.kk=1"), "unknown configuration key 'spectrum.kk'; known here: "),
    "unknown section": (digits("spectra.k=1"), "unknown configuration key 'spectra'"),
    "no equals sign": (digits("spectrum.k"), "not of the form section.key=value"),
    "no key": (digits("=3"), "not of the form"),
    "a section": (digits("spectrum=3"), "'spectrum' is a section; set one of its keys"),
    "bad value": (digits("spectrum.k=["), "not valid YAML"),
    "bool for a number": (digits("spectrum.k=true"), "not true or false"),
    "k of 0": (digits("spectrum.k=0"), "greater than or equal to 1"),
    "tol of 0": (digits("spectrum.tol=0"), "greater than 0"),
    "negative tol": (digits("spectrum.tol=-1e-3"), "greater than 0"),
    "tol of 1": (digits("spectrum.tol=1"), "less than 1"),
    "tol nan": (digits("spectrum.tol=nan"), "finite"),
    "tol inf": (digits("spectrum.tol=.inf"), "finite"),
    "workers -1": ([*digits(), "--workers", "-1"], "'runtime.workers' is -1"),
    "half a worker": (digits("runtime.workers=1.5"), "whole number"),
    "unknown transport": ([*digits(), "--transport", "pigeon"], "'store' or 'collective'"),
    "micro_batch 0": (digits("runtime.micro_batch=0"), "'runtime.micro_batch' is 0"),
    "threads 0": (digits("runtime.threads=0"), "'runtime.threads' is 0"),
    "momentum": (digits("train.momentum=1.5"), "less than 1"),
    "negative learning rate": (digits("train.learning_rate=-0.1"), "greater than 0"),
    "batch_size 0": (digits("train.batch_size=0"), "'train.batch_size' is 0"),
    "negative seed": (digits("data.seed=-1"), "'data.seed' is -1"),
    "huge seed": (digits("train.seed=100000000000000000000"), "less than or equal to"),
    "unknown loss": (digits("objective.loss=hinge"), "'cross_entropy' or 'mse'"),
    "unknown dtype": (digits("objective.dtype=float16"), "'float32' or 'float64'"),
    "unknown norm": (digits("objective.norm=train"), "'population' or 'batch'"),
    "statistics of one sample": (digits("objective.norm_samples=1"), "greater than or equal to 2"),
    "negative weight decay": (digits("objective.weight_decay=-1"), "greater than or equal to 0"),
    "smoothing of 1": (digits("objective.label_smoothing=1"), "less than 1"),
    "smoothing of mse": (digits("objective.label_smoothing=0.1", "objective.loss=mse"), "loss cross_entropy only"),
    "unknown operator": (digits("spectrum.operator=laplacian"), "'hessian', 'gauss_newton', 'residual' or 'fisher'"),
    "unknown labels": (digits("spectrum.fisher_labels=true_ones"), "'model', 'data' or 'sampled'"),
    "unknown split": (digits("data.split=validation"), "'train' or 'test'"),
    "unknown scaling": (digits("data.scaling=minmax"), "'none', 'unit' or 'standard'"),
    "unknown optimizer": (digits("train.optimizer=rmsprop"), "'sgd' or 'adam'"),
    "unknown schedule": (digits("train.schedule=linear"), "'constant', 'cosine' or 'step'"),
    "negative warm-up": (digits("train.warmup_steps=-1"), "greater than or equal to 0"),
    "list for options": (digits("data.options=[a]"), "it must be a mapping"),
    "collective without workers": (
        [*digits("runtime.workers=0"), "--transport", "collective"],
        "runtime.workers is 0; give workers",
    ),
    "text for a list": (digits("objective.parameters=weight"), "a list"),
    "missing file": (["spectrum", "--config", "absent.yaml"], "No such file"),
    "folder for a file": (["spectrum", "--config", "runs"], "Is a directory"),
    "list file": (["spectrum", "--config", "list.yaml"], "must be a mapping of sections"),
    "list section": (["spectrum", "--config", "list_section.yaml"], "'data' is a section"),
    "tabs": (["spectrum", "--config", "tabs.yaml"], "at line 2"),
    "two documents": (["spectrum", "--config", "two.yaml"], "single document"),
    "repeated section": (["spectrum", "--config", "twice.yaml"], "appears twice"),
    "binary file": (["spectrum", "--config", "binary.yaml"], "not UTF-8"),
    "bomb": (["spectrum", "--config", "bomb.yaml"], "references"),
    "deep nesting": (["spectrum", "--config", "deep.yaml"], "nested too deeply"),
    "unknown key in a file": (["spectrum", "--config", "unknown.yaml"], "'spectrum.eigenvalues'"),
    "quickstart": (["quickstart", *sets("spectrum.tol=2")], "less than 1"),
    # the data
    "unknown source": (digits("data.source=imagenet"), "unknown data.source 'imagenet'; known: digits, npz, idx"),
    "path of digits": (digits("data.path=good.npz"), "takes no data.path"),
    "npz without a path": (["spectrum", *sets("data.source=npz")], "needs data.path"),
    "missing npz": (npz("absent.npz"), "does not exist"),
    "folder for an npz": (npz("runs"), "cannot read"),
    "truncated npz": (npz("truncated.npz"), "damaged or not an npz"),
    "text for an npz": (npz("words.npz"), "damaged or not an npz"),
    "empty file": (npz("zero.npz"), "damaged or not an npz"),
    "pickle for an npz": (npz("pickle.safetensors"), "damaged or not an npz"),
    "single npy": (npz("single.npy"), "single array"),
    "no x": (npz("no_x.npz"), "no array 'x'"),
    "no y": (npz("no_y.npz"), "no array 'y'"),
    "objects": (npz("objects.npz"), "Python objects"),
    "text array": (npz("text.npz"), "type <U1"),
    "complex array": (npz("complex.npz"), "complex128"),
    "NaN samples": (npz("nan.npz"), "x holds NaN"),
    "infinite samples": (npz("inf.npz"), "x holds NaN or infinite"),
    "NaN labels": (npz("nan_y.npz"), "y holds NaN"),
    "no samples": (npz("empty.npz"), "empty"),
    "no features": (npz("no_features.npz"), "empty"),
    "unequal lengths": (npz("unequal.npz"), "40 samples and y has 39"),
    "flat samples": (npz("flat.npz"), "x must be (N, …)"),
    "cube of targets": (npz("cube.npz"), "y (N,) or (N, C)"),
    "scalars": (npz("scalars.npz"), "one row a sample"),
    "negative labels": (npz("negative.npz"), "labels run from -1 to 1"),
    "huge labels": (npz("huge.npz"), "number the classes 0…C−1"),
    "real labels": (npz("real.npz"), "whole-number labels"),
    "one-hot labels": (npz("columns.npz"), "whole-number labels"),
    "whole-number samples": (npz("tokens.npz"), "convert them to float32"),
    "too many samples": (npz("good.npz", "data.samples=41"), "holds 40"),
    "too many blocks": (npz("good.npz", "data.blocks=4"), "choose at most 2"),
    "three blocks": (npz("good.npz", "data.blocks=3"), "power of two"),
    "unknown class": (npz("good.npz", "data.classes=[0, 9]"), "[9], which no sample has"),
    "one class": (npz("good.npz", "data.classes=[1]"), "at least two"),
    "same class twice": (npz("good.npz", "data.classes=[1, 1]"), "at least two"),
    "classes of real targets": (npz("real.npz", "data.classes=[0, 1]", "objective.loss=mse"), "integer labels"),
    # the model
    "unknown model": (
        digits("model.name=resnet9000"),
        "unknown model.name 'resnet9000'; known: cnn, lenet",
    ),
    "unknown option": (digits("model.options.depth=3"), "no option 'depth'; known in model.options: hidden"),
    "zero width": (digits("model.options={hidden: [0]}"), "positive whole numbers"),
    "text width": (digits("model.options={hidden: many}"), "positive whole numbers"),
    "bool width": (digits("model.options={hidden: [true]}"), "positive whole numbers"),
    "absurd width": (digits("model.options={hidden: [100000000000000]}"), "cannot be built"),
    "unknown activation": (digits("model.options={activation: sigmoidal}"), "known: relu, tanh, gelu"),
    "cnn of flat samples": (npz("good.npz", "model.name=cnn", "model.options={}"), "use mlp"),
    "failing import": (digits("model.name=no.such.module:f"), "ModuleNotFoundError"),
    "missing factory": (digits(f"model.name={FACTORIES}:absent"), "AttributeError"),
    "broken module": (digits("model.name=tests.models.breaks_on_import:f"), "ArithmeticError"),
    "module that exits": (digits("model.name=tests.models.exits_on_import:f"), "SystemExit"),
    "no factory": (digits(f"model.name={FACTORIES}:VALUE"), "is not callable"),
    "no module made": (digits(f"model.name={FACTORIES}:no_module", "model.options={}"), "made a str"),
    "failing factory": (digits(f"model.name={FACTORIES}:fails", "model.options={}"), "fails in two lines"),
    "factory of another shape": (digits(f"model.name={FACTORIES}:linear", "model.options={}"), "samples of shape"),
    "factory of few outputs": (
        digits(f"model.name={FACTORIES}:linear", "model.options={width: 64}"),
        "labels run from 0 to 9, the model has 3 outputs",
    ),
    "no second derivative": (
        digits(f"model.name={FACTORIES}:binary", "model.options={width: 64, outputs: 10}"),
        "the model or loss uses Sign, which has no second derivative",
    ),
    "functional dropout": (
        digits(f"model.name={FACTORIES}:noisy", "model.options={width: 64, outputs: 10}"),
        "other logits for the same samples a second time",
    ),
    "function of the batch": (
        digits(f"model.name={FACTORIES}:centred", "model.options={width: 64, outputs: 10}"),
        "depend on the other samples of its batch",
    ),
    # the weights
    "missing weights": (weights("absent.safetensors"), "not an existing file"),
    "pickled objects": (weights("objects.pt"), "pickled weights are refused"),
    "broken state dict": (weights("truncated.pt"), "neither a safetensors file nor a state dict"),
    "state dict with more": (weights("more.pt"), "holds 'more'"),
    "pickle in disguise": (weights("pickle.safetensors"), "pickled weights are refused"),
    "truncated weights": (weights("truncated.safetensors"), "neither a safetensors file"),
    "NaN weights": (weights("nan.safetensors"), "'1.bias' holds NaN"),
    "weights with more": (weights("extra.safetensors"), "holds 'more'"),
    "weights with less": (weights("missing.safetensors"), "lacks '1.bias'"),
    "weights of another width": (
        [*weights("good.safetensors"), *sets("model.options={hidden: [6]}")],
        "has shape (5, 4), the model needs (6, 4)",
    ),
    # the objective and what is asked of it
    "pattern": (digits("objective.parameters=['layer9.*']"), "no parameter matches 'layer9.*'; there are"),
    "no pattern": (digits("objective.parameters=[]"), "selects nothing"),
    "mse of one-hot columns": (
        npz(
            "columns.npz",
            "objective.loss=mse",
            f"model.name={FACTORIES}:linear",
            "model.options={width: 4, outputs: 2}",
        ),
        "3 columns, the model 2",
    ),
    "k above P": (digits("spectrum.k=651"), "more eigenpairs than the 650 parameters"),
    "k and lowest above P": (digits("spectrum.k=600", "spectrum.lowest=51"), "the 650 parameters"),
    "max_steps below k": (digits("spectrum.k=20", "spectrum.max_steps=10"), "max_steps=10 is below the 20"),
    "max_steps of blocks below k": (
        digits("spectrum.k=20", "spectrum.max_steps=9", "spectrum.block=2"),
        "below the 20",
    ),
    "block of 0": (digits("spectrum.block=0"), "greater than or equal to 1"),
    "block above P": (digits("spectrum.block=651"), "spectrum.block=651 is more than the 650 parameters; lower it"),
    "block with basis_size": (digits("spectrum.block=2", "spectrum.basis_size=20"), "leave one of them out"),
    "block with a warm start": (digits("spectrum.block=2", "spectrum.warm_start=true"), "leave one of them out"),
    # class geometry
    "clustering of a regression": (classes("clustering", "objective.loss=mse"), "set objective.loss=cross_entropy"),
    "hierarchy of a regression": (classes("hierarchy", "objective.loss=mse"), "the loss is not cross_entropy"),
    "clustering of one logit": (classes("clustering", "data.path=one_class.npz", ONE_LOGIT), "cross_entropy is 0"),
    "hierarchy of one logit": (classes("hierarchy", "data.path=one_class.npz", ONE_LOGIT), "cross_entropy is 0"),
    "clustering without a class": (classes("clustering", "data.path=one_class.npz"), "of class 1 there are fewer"),
    "one sample of a class": (classes("clustering", "data.path=lonely.npz"), "of class 2 there are fewer"),
    "hierarchy of a lonely sample": (
        classes("hierarchy", "data.path=lonely.npz"),
        "at least 2 samples of each of the 3",
    ),
    "branches in the model": (
        classes("clustering", f"model.name={FACTORIES}:branching", "model.options={width: 4, outputs: 3}"),
        "gradients of single samples cannot be taken from this model",
    ),
    "hierarchy.k of 0": (classes("hierarchy", "hierarchy.k=0"), "greater than or equal to 1"),
    "hierarchy.k above P": (classes("hierarchy", "hierarchy.k=50"), "more than the 43 parameters; lower hierarchy.k"),
    "hierarchy.max_steps": (classes("hierarchy", "hierarchy.max_steps=3"), "max_steps=3 is below the 5 pairs"),
    "hierarchy.trace_probes": (classes("hierarchy", "hierarchy.trace_probes=1"), "greater than or equal to 2"),
    "too large a kernel": (["hierarchy", *sets("hierarchy.kernel=true")], "set data.samples to 1,000 or less"),
    # the output folder
    "out is a file": ([*digits(), "--out", "file"], "cannot be written"),
    "out below a file": ([*digits(), "--out", "file/below"], "cannot be written"),
    "out in /proc": ([*digits(), "--out", "/proc/distlandscape"], "cannot be written"),
    # runs
    "resume nothing": (["resume", "absent"], "is not a run directory"),
    "resume an empty folder": (["resume", "runs"], "no unfinished run"),
    "resume a file": (["resume", "file"], "is not a run directory"),
    "resume a torn run": (["resume", "torn/run"], "is not a run directory"),
    "resume among torn runs": (["resume", "torn"], "is not a run directory"),
    "resume an unknown study": (["resume", "strange"], "'astrology', which this version does not know"),
    "resume a finished run": (["resume", "finished/run"], "is finished (done); start a new one"),
    "resume among finished runs": (["resume", "finished"], "no unfinished run in finished"),
    "resume with workers -1": (["resume", "finished/run", "--workers", "-1"], "'runtime.workers' is -1"),
    "report nothing": (["report", "absent"], "is not a run directory"),
    "sync nothing": (["mlflow-sync", "absent"], "is not a run directory"),
}


def tree(folder):
    return {path: path.stat().st_size for path in folder.rglob("*")}


@pytest.mark.parametrize("case", CASES)
def test_one_sentence_and_exit_code_2(case, folder, capfd):
    arguments, message = CASES[case]
    study = arguments[0] in ("spectrum", "quickstart", "clustering", "hierarchy")
    if study and "--out" not in arguments:
        arguments = [*arguments, "--out", "out"]
    before = tree(folder)
    code = main(arguments)
    out, err = capfd.readouterr()
    assert (code, out) == (2, ""), err
    assert err.startswith("distlandscape: ")
    assert err.endswith("\n")
    assert len(err.splitlines()) == 1
    assert message in err
    assert "Traceback" not in err
    assert len(err) < 600
    after = tree(folder)
    assert {p: s for p, s in after.items() if p != folder / "out"} == before  # an empty output folder at most


def test_enough_cases():
    assert len(CASES) >= 100


@pytest.mark.parametrize("flag", [[], ["--json"]])
def test_json_prints_nothing_either(flag, folder, capfd):
    assert main([*digits("spectrum.k=0"), "--out", "out", *flag]) == 2
    assert capfd.readouterr().out == ""


def test_good_input_passes_the_checks(folder, capfd):
    """The cases above fail for what they name, not for something they share."""
    for arguments in (digits(), npz("good.npz"), weights("good.safetensors"), npz("columns.npz", "objective.loss=mse")):
        assert main([*arguments, "--out", "out"]) == 1
        assert capfd.readouterr().err.splitlines()[-1] == "distlandscape: AssertionError: the run began"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "the following arguments are required: COMMAND"),
        (["spectra"], "invalid choice: 'spectra'"),
        (["spectrum", "--workers", "two"], "invalid int value: 'two'"),
        (["spectrum", "--set"], "expected one argument"),
        (["spectrum", "--flavour", "x"], "unrecognized arguments: --flavour x"),
        (["spectrum", "stray"], "unrecognized arguments: stray"),
        (["resume"], "the following arguments are required: RUN"),
        (["report"], "the following arguments are required: RUN"),
        (["mlflow-sync"], "the following arguments are required: RUN"),
    ],
)
def test_bad_usage(arguments, message, capfd):
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    out, err = capfd.readouterr()
    assert (caught.value.code, out) == (2, "")
    assert err.startswith("usage: distlandscape")
    assert message in err
    assert "Traceback" not in err
