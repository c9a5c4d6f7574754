"""A run that cannot go on says where and why, from the command line and from Python."""

import json

import numpy as np
import pytest

import distlandscape as dl
from distlandscape.cli.main import main
from distlandscape.models import build_model
from distlandscape.runtime import LocalRunner, ProductPlan
from tests.models.factories import kink

pytestmark = pytest.mark.usefixtures("numbers_only")

N, BLOCKS, MICRO_BATCH, BAD = 64, 2, 10, 45  # samples 42…51 are the second micro-batch of block 1
METHODS = ("kept", "double_backward", "forward_over_reverse")
WHERE = "a product with the operator is not finite in block 1, micro-batch of samples 42…51; look at the weights"


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


def data():
    """Of one sample all logits are exactly 0, where the second derivative of the model is infinite."""
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((N, 4)), np.arange(N) % 3
    x[BAD] = 0
    return x, y


def spectrum(out, *settings):
    small = ["train.steps=0", "spectrum.k=2", "spectrum.density_steps=5", "spectrum.trace_probes=2", *settings]
    return ["spectrum", *(f"--set={s}" for s in small), "--workers", "0", "--json", "--out", str(out)]


def refusal(out, capfd, *settings):
    """What the command says, and what the run directory remembers of it."""
    assert main(spectrum(out, *settings)) == 2
    said = capfd.readouterr()
    assert said.out == ""
    assert "Traceback" not in said.err
    (run,) = map(dl.open_run, out.glob("spectrum-*"))
    assert run.status == "failed"
    return said.err, run.log.events("ended")[-1]["detail"]


@pytest.mark.parametrize("method", METHODS)
def test_a_product_that_is_not_finite_names_block_and_micro_batch(method, out, tmp_path, capfd):
    """The gradient, which comes first, is finite: the product is what finds it. Samples count as the run holds them."""
    x, y = data()
    np.savez(tmp_path / "zero.npz", x=np.arange(4.0 * N).reshape(N, 4), y=y)
    order = dl.data.load_source("npz", tmp_path / "zero.npz", blocks=1).block(0)[0][:, 0].astype(int) // 4
    shuffled = np.empty_like(x)
    shuffled[order] = x  # so that the import, which permutes, puts the sample at its place
    np.savez(tmp_path / "zero.npz", x=shuffled, y=y)
    settings = ["data.source=npz", f"data.path={tmp_path / 'zero.npz'}", f"data.blocks={BLOCKS}"]
    settings += ["model.name=tests.models.factories:kink", f"runtime.micro_batch={MICRO_BATCH}"]
    err, detail = refusal(out, capfd, *settings, f"runtime.product={method}")
    assert WHERE in detail
    assert WHERE in " ".join(err.split())


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", [dl.Hessian, dl.Residual])
def test_the_same_from_python(kind, method):
    x, y = data()
    store = dl.data.BlockStore.from_arrays(x, y, blocks=BLOCKS)
    H = kind(dl.Objective(kink(), store), LocalRunner(micro_batch=MICRO_BATCH, plan=ProductPlan(method)))
    for measure in (lambda: dl.top_eigenpairs(H, 2), lambda: dl.spectral_density(H), lambda: dl.trace(H)):
        with pytest.raises(dl.InputError, match=WHERE):
            measure()


def test_a_budget_of_memory_below_one_sample_says_so(out, capfd):
    settings = ["data.samples=64", "model.options={hidden: [16]}", "runtime.memory=100"]
    err, detail = refusal(out, capfd, *settings)
    sentence = "runtime.memory of 100 bytes does not hold the linearisation of one sample, which takes"
    assert sentence in detail
    assert sentence in " ".join(err.split())
    needed = int(detail.split("which takes ")[1].split(";")[0])
    assert needed > 100
    assert "raise it, or choose product 'double_backward'" in detail
    # What it asks for is enough, and either way out leads on.
    for remedy in (f"runtime.memory={needed}", "runtime.product=double_backward"):
        assert main(spectrum(out, *settings, remedy)) == 0
        assert json.loads(capfd.readouterr().out)["status"] == "converged"


def test_the_same_budget_from_python():
    model = build_model("mlp", (4,), 3, {"hidden": [16]}, seed=0)
    H = dl.Hessian(dl.Objective(model, data()), LocalRunner(plan=ProductPlan(memory=100)))
    with pytest.raises(dl.InputError, match="memory of 100 bytes does not hold the linearisation of one sample"):
        dl.top_eigenpairs(H, 2)
