"""What a stranger's configuration or run folder may name: no part of Python, and no code a resume was not told of."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from torch import nn

from distlandscape.cli.main import main
from distlandscape.data import load_source
from distlandscape.data.dataset import DATASET
from distlandscape.errors import InputError
from distlandscape.foreign import resolve
from distlandscape.models import build_model
from distlandscape.models.lookup import MODEL
from distlandscape.record import maker
from distlandscape.record.run import Run
from distlandscape.studies import spectrum
from tests.models import factories

OURS = "tests.models.factories"
PYTHON = [
    "os:system",
    "posix:system",
    "nt:system",
    "subprocess:getoutput",
    "subprocess:Popen",
    "builtins:eval",
    "_posixsubprocess:fork_exec",
    "pickle:loads",
    "importlib:import_module",
    "shutil:rmtree",
    "runpy:run_path",
    "multiprocessing.util:spawnv_passfds",
    "test.support.os_helper:rmtree",  # not among sys.stdlib_module_names
    "pip.__main__:main",
    "__main__:main",
    "torch.nn:Module.__class__",
    "six.moves:getoutput",
]
ELSEWHERE = [
    "torch:os.system",
    "torch.nn:init.math.exp",
    "six.moves.builtins:eval",
    "torch.nn:Module.__subclasses__",
    f"{OURS}:torch.os.system",
    f"{OURS}:nn.Linear",
]
ANYTHING = [  # in installed packages, and able to run what they are given
    "torch:load",
    "torch.hub:load",
    "torch.jit:load",
    "torch.utils.cpp_extension:load_inline",
    "torch.distributed.run:main",
    "numpy:load",
    "numpy:memmap",
    "yaml:unsafe_load",
    "joblib:load",
    "pandas:read_pickle",
    "distlandscape.cli.main:main",
    "distlandscape.ray_folder:make_ray_folder",
]


@pytest.mark.parametrize("kind", [MODEL, DATASET], ids=["model", "dataset"])
@pytest.mark.parametrize("name", [*PYTHON, *ELSEWHERE, *ANYTHING])
def test_a_name_that_makes_no_network_or_dataset_is_refused(name, kind):
    with pytest.raises(InputError) as caught:
        resolve(name, kind, {})
    said = str(caught.value)
    reasons = ["a part of Python itself, or a program", "neither a class nor a function that is defined there"]
    reason = reasons[0] if name in PYTHON else reasons[1] if name in ELSEWHERE else "does not say that it returns"
    assert reason in said
    assert f"write a function of yours that returns {kind.makes}, and name that" in said
    assert "\n" not in said


def test_what_is_defined_in_another_package():
    with pytest.raises(InputError, match=r"defined in another package, '_pytest\.config'; name it there, or"):
        resolve("pytest:main", MODEL, {})


def test_networks_of_installed_packages_are_taken():
    assert isinstance(build_model("torch.nn:Linear", (4,), 3, {"in_features": 4, "out_features": 3}, 0), nn.Linear)
    assert resolve("distlandscape.models:mlp", MODEL, {}).__name__ == "mlp"


LIBRARY = """
import functools, os, subprocess, types, typing
from subprocess import Popen
from torch import nn
from torch.utils.data import Dataset, TensorDataset

class Net(nn.Linear):
    def __init__(self, *arguments, **options):
        super().__init__(2, 3)
    @classmethod
    def made(cls, **options):
        return cls()
    @staticmethod
    def run(**options):
        raise AssertionError("called")

def said(**options) -> nn.Module:
    return Net()
def said_in_quotes(**options) -> "Net | None":
    return Net()
def meaningless(**options) -> "NoSuchName":
    raise AssertionError("called")
def unsaid(**options):
    raise AssertionError("called")
def create_model(**options):
    return Net()
class _BaseAutoModelClass:
    @classmethod
    def from_pretrained(cls, **options):
        return Net()
    @classmethod
    def from_config(cls, **options):
        raise AssertionError("called")
def copied(method):
    given = types.FunctionType(method.__code__, method.__globals__)
    return functools.update_wrapper(given, method)
class AutoModel(_BaseAutoModelClass):
    from_pretrained = classmethod(copied(_BaseAutoModelClass.from_pretrained))
def dataset(**options) -> Dataset[int]:
    return TensorDataset()
@functools.wraps(said)
def wrapped(**options):
    return Net()
@functools.lru_cache
def cached() -> Net:
    return Net()
given = functools.partial(said, width=3)
theirs = functools.partial(os.system)
@functools.wraps(subprocess.getoutput)
def shell(**options):
    raise AssertionError("called")
net = Net()
bound = net.forward
class Shell(Popen):
    pass
"""


@pytest.fixture
def library(tmp_path, monkeypatch):
    """Puts a package where package managers do, or anywhere."""
    names = []

    def put(name, *, installed):
        folder = tmp_path / ("lib/site-packages" if installed else "mine")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.py").write_text(LIBRARY)
        monkeypatch.syspath_prepend(folder)
        names.append(name)
        return name

    yield put
    for name in names:
        sys.modules.pop(name, None)


SAYING = ("Net", "Net.made", "said", "said_in_quotes", "wrapped", "cached", "given")
SILENT = ("unsaid", "meaningless", "Net.run", "dataset", "create_model", "Shell")
NEVER = ("theirs", "shell", "Popen", "os.system", "net.forward", "bound", "typing.get_type_hints", "nn.Linear")


def taken(package, names, kind=MODEL, options=None):
    found = []
    for name in names:
        try:
            resolve(f"{package}:{name}", kind, options or {})
            found.append(name)
        except InputError:
            pass
    return tuple(found)


def test_an_installed_package_has_to_say_that_it_makes_networks(library):
    package = library("dl_installed_library", installed=True)
    assert taken(package, SAYING + SILENT + NEVER) == SAYING
    assert taken(package, SAYING + SILENT + NEVER, DATASET) == ("dataset",)
    assert isinstance(build_model(f"{package}:given", (2,), 3, {"depth": 1}, 0), nn.Linear)


def test_what_lies_where_pythonpath_says_is_the_user_s_own(library):
    assert taken(library("dl_own_library", installed=False), SAYING + SILENT + NEVER) == SAYING + SILENT


def test_functions_of_libraries_of_models_that_do_not_say_so_are_known(library):
    assert taken(library("timm", installed=True), ("create_model", "unsaid")) == ("create_model",)
    names = ("AutoModel.from_pretrained", "AutoModel.from_config", "create_model", "AutoModel")
    assert taken(library("transformers", installed=True), names) == names[:1]


def test_options_tell_no_library_to_run_code_from_elsewhere(library):
    package = library("dl_fetching_library", installed=True)
    for options in ({"trust_remote_code": True}, {"deep": [{"trust_repo": "check"}]}):
        with pytest.raises(InputError, match="which runs code from elsewhere; remove it"):
            build_model(f"{package}:said", (2,), 3, options, 0)
    build_model(f"{package}:said", (2,), 3, {"trust_remote_code": False}, 0)


SETTINGS = {"runtime": {"workers": 0}, "train": {"steps": 0}, "data": {"samples": 20}}


STRANGERS = {
    "model": {"model": {"name": "os:system", "options": {"command": "touch MARK"}}},
    "data": {"data": {"source": "torch", "path": "subprocess:getoutput", "options": {"cmd": "touch MARK"}}},
    "yaml": {
        "data": {
            "source": "torch",
            "path": "yaml:unsafe_load",
            "options": {"stream": "!!python/object/apply:os.system [touch MARK]"},
        }
    },
}
COMMANDS = ("spectrum", "train", "goldilocks", "plan spectrum")


@pytest.mark.parametrize(
    ("command", "stranger"),
    [(command, stranger) for command in COMMANDS for stranger in STRANGERS]
    + [("data import --out OUT/store.arrow", stranger) for stranger in ("data", "yaml")],
)
def test_a_stranger_s_configuration_runs_nothing(command, stranger, tmp_path, capsys):
    mark = tmp_path / "mark"
    text = json.dumps({**SETTINGS, **STRANGERS[stranger]}).replace("MARK", str(mark))
    (tmp_path / "config.yaml").write_text(text)
    arguments = command.replace("OUT", str(tmp_path)).split()
    arguments += ["--config", str(tmp_path / "config.yaml")]
    arguments += ["--out", str(tmp_path / "out")] if command in COMMANDS[:3] else []
    assert main(arguments) == 2
    assert not mark.exists()
    said = capsys.readouterr().err
    assert "write a function of yours" in said
    assert "Traceback" not in said


def test_a_data_source_is_refused_without_the_command_line():
    with pytest.raises(InputError, match="dataset 'subprocess:getoutput' is a part of Python itself"):
        load_source("torch", "subprocess:getoutput", options={"cmd": "true"})


@pytest.fixture
def state(tmp_path, monkeypatch):
    monkeypatch.setenv("DISTLANDSCAPE_STATE", str(tmp_path / "state"))
    return tmp_path / "state"


def made(tmp_path, name=f"{OURS}:linear", options=None, server=None, **identity):
    """A run that was interrupted at its beginning, as the runner makes it."""
    model = {"name": name, "options": options if options is not None else {"width": 64, "outputs": 10}}
    config = {"model": model, "runtime": {"workers": 0, "threads": 1}, "train": {"steps": 0}}
    config["tracking"] = {"uri": server}
    return Run.create(
        tmp_path / "out", "spectrum", config, {"created": 0.0, **maker.mark(name, model["options"], server), **identity}
    )


def asked(run):
    model = run.config["model"]
    try:
        maker.require_own(run, model["name"], model["options"], run.config["tracking"]["uri"])
    except InputError as error:
        return str(error)
    return None


def test_a_run_of_one_s_own_is_resumed_without_a_question(tmp_path, state):
    run = made(tmp_path)
    assert asked(Run.open(run.path)) is None
    run.adopt_id("0" * 32)  # a tracking server's
    moved = shutil.move(run.path, tmp_path / "elsewhere")
    assert asked(Run.open(moved)) is None
    assert [stat.S_IMODE(path.stat().st_mode) for path in (state, state / maker.KEY)] == [0o700, 0o600]
    assert len((state / maker.KEY).read_bytes()) == 64


def test_a_network_of_the_zoo_needs_neither_mark_nor_key(tmp_path, state):
    run = made(tmp_path, "mlp", {})
    assert maker.MARK not in run.identity
    assert asked(run) is None
    assert not state.exists()


SERVER = "http://127.0.0.1:9"


def test_a_tracking_server_that_a_stranger_s_run_names_is_not_spoken_to(tmp_path, state, capsys, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    run = made(tmp_path, "mlp", {}, SERVER)
    assert asked(run) is None
    shutil.rmtree(state)  # another user's run, or one's own with another home
    assert f"would send what it measures to {SERVER}" in asked(run)
    assert main(["mlflow-sync", str(run.path)]) == 2
    assert "with --uri" in capsys.readouterr().err
    assert main(["resume", str(run.path)]) == 2
    assert "add --trust" in capsys.readouterr().err
    monkeypatch.setenv("MLFLOW_TRACKING_URI", SERVER)  # then it is this user's choice
    assert asked(run) is None


def test_another_server_in_one_s_own_run_is_asked_about(tmp_path, state, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    run = made(tmp_path, "mlp", {}, SERVER)
    file = run.path / "config.yaml"
    file.write_text(file.read_text().replace(SERVER, "http://127.0.0.1:10"))
    assert "would send what it measures to http://127.0.0.1:10" in asked(Run.open(run.path))


@pytest.mark.parametrize(
    "change",
    [
        "another user",
        "another name",
        "other options",
        "no mark",
        "a mark that is none",
        "a key others can read",
        "a link",
    ],
)
def test_a_run_of_a_stranger_s_asks(change, tmp_path, state, monkeypatch):
    run, key = made(tmp_path), state / maker.KEY
    config, identity = run.config, json.loads((run.path / "run.json").read_text())
    if change == "another user":
        monkeypatch.setenv("DISTLANDSCAPE_STATE", str(tmp_path / "other"))
        made(tmp_path)  # has a key of its own
    elif change == "another name":
        config["model"]["name"] = f"{OURS}:echo"
    elif change == "other options":
        config["model"]["options"]["width"] = 65
    elif change == "no mark":
        del identity[maker.MARK]
    elif change == "a mark that is none":
        identity[maker.MARK] = ["é"]
    elif change == "a key others can read":
        key.chmod(0o640)
    else:
        key.rename(state / "theirs")
        key.symlink_to(state / "theirs")
    (run.path / "config.yaml").write_text(yaml.safe_dump(config))
    (run.path / "run.json").write_text(json.dumps(identity))
    said = asked(Run.open(run.path))
    assert f"would load the code '{config['model']['name']}', and nothing shows that you chose it" in said
    assert "add --trust if it may" in said


def test_resume_asks_before_it_imports_and_trust_is_an_answer(tmp_path, state, capsys, monkeypatch, empty_database):
    """A study is interrupted where it would measure, each time, and its module goes strange in between."""
    for folder in ("mine", "out"):
        (tmp_path / folder).mkdir()
    for place in (tmp_path, tmp_path / "out"):
        shutil.copy(empty_database, place / "mlflow.db")
    source = "from tests.models.factories import linear as plain\ndef net(**options):\n    return plain(64, 10)\n"
    (tmp_path / "mine" / "dl_resumed_net.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path / "mine")
    few = {"spectrum.k": 1, "spectrum.density_steps": 3, "spectrum.density_draws": 1, "spectrum.trace_probes": 2}
    few |= {"model.name": "dl_resumed_net:net", "data.samples": 40, "train.steps": 0}
    settings = [word for key, value in few.items() for word in ("--set", f"{key}={value}")]

    def interrupted(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(spectrum, "measure", interrupted)
    assert main(["spectrum", *settings, "--workers", "0", "--out", str(tmp_path / "out")]) == 130
    (folder,) = (tmp_path / "out").glob("spectrum-*")
    sys.modules.pop("dl_resumed_net")
    with (tmp_path / "mine" / "dl_resumed_net.py").open("a") as file:
        file.write(f"open({str(tmp_path / 'imported')!r}, 'w').close()\n")
    capsys.readouterr()
    (state / maker.KEY).rename(state / "kept")
    assert main(["resume", str(folder)]) == 2
    assert "would load the code 'dl_resumed_net:net'" in capsys.readouterr().err
    assert not (tmp_path / "imported").exists()
    (state / "kept").rename(state / maker.KEY)
    copy = shutil.copytree(folder, tmp_path / "copy")
    assert main(["resume", str(folder)]) == 130  # of one's own
    assert (tmp_path / "imported").exists()
    (tmp_path / "imported").unlink()
    sys.modules.pop("dl_resumed_net")
    (state / maker.KEY).unlink()
    assert main(["resume", str(copy), "--trust"]) == 130
    assert (tmp_path / "imported").exists()


INTRUDER = """
import os, sys
from pathlib import Path
from distlandscape.errors import InputError
from distlandscape.record import maker
from distlandscape.record.run import Run
from distlandscape.studies import spectrum
run = Run.open(sys.argv[1])
model = run.config["model"]
os.setgroups([]); os.setgid(65534); os.setuid(65534)
try:
    Path(os.environ["DISTLANDSCAPE_STATE"], maker.KEY).read_bytes()
    print("read the key")
except PermissionError:
    pass
try:
    maker.require_own(run, model["name"], model["options"], run.config["tracking"]["uri"])
    print("took it for one of theirs")
except InputError:
    pass
print(maker.mark("a:b", {}, None))
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_another_user_can_neither_read_the_key_nor_sign_with_it(tmp_path, state):
    run = made(tmp_path)
    environment = {**os.environ, "DISTLANDSCAPE_STATE": str(state)}
    command = [sys.executable, "-c", INTRUDER, str(run.path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "{}\n", "")


STRANGE = "open({mark!r}, 'a').write(__file__ + chr(10))\nraise ImportError('a stranger was imported')\n"
LOCAL = """
import sys
sys.path[:] = [path for path in sys.path if path not in ("", ".")]
from distlandscape.runtime import Pool
with Pool(1, 0.5, threads=1) as pool:
    print(pool.map_tasks(len, ["four"]))
"""


@pytest.mark.attack
def test_workers_import_nothing_from_the_folder_one_stands_in(tmp_path):
    """Ray puts the working directory in front of what its workers import from, where this program does not."""
    for name in ("distlandscape", "torch", "safetensors", "numpy", "cloudpickle"):
        (tmp_path / f"{name}.py").write_text(STRANGE.format(mark=str(tmp_path / "mark")))
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "program.py").write_text(LOCAL)
    environment = {key: value for key, value in os.environ.items() if not key.startswith("RAY_")}
    environment |= {"PYTHONPATH": str(Path(factories.__file__).parents[2]), "RAY_ADDRESS": "local"}
    command = [sys.executable, str(tmp_path / "elsewhere" / "program.py")]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.stdout == "[4]\n", done.stderr
    assert not (tmp_path / "mark").exists()
