"""``distlandscape data``: import, show, use; and what it refuses."""

from __future__ import annotations

import argparse
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from distlandscape.cli.main import build_parser, main
from distlandscape.config import load_config
from distlandscape.config.shared import DataConfig
from distlandscape.data import BlockStore, load_source
from distlandscape.studies.stores import Stores
from distlandscape.studies.stores import imported as stores_of


@pytest.fixture
def file(tmp_path):
    x = np.random.default_rng(0).integers(0, 256, (90, 3, 4, 5), dtype=np.uint8)
    np.savez(tmp_path / "some bytes.npz", x=x, y=np.arange(90) % 4, x_test=x[:40], y_test=np.arange(40) / 4)
    return tmp_path / "some bytes.npz"


def imported(file, out, *assignments, flags=()):
    words = [word for a in ("data.source=npz", f"data.path={file}", *assignments) for word in ("--set", a)]
    return ["data", "import", *words, "--out", str(out), *flags]


@pytest.mark.parametrize("command", ["import", "show"])
def test_what_is_printed(command, file, tmp_path, capfd):
    out = tmp_path / "new folder" / "s.arrow"
    assert main(imported(file, out, "data.scaling=standard", "data.seed=3")) == 0
    if command == "show":
        capfd.readouterr()
        assert main(["data", "show", str(out)]) == 0
    printed, err = capfd.readouterr()
    store = load_source("npz", str(file), scaling="standard", seed=3)
    lines = dict(line.split(":", 1) for line in printed.splitlines())
    assert {name: value.strip() for name, value in lines.items()} == {
        "what": store.description,
        "samples": "90 of shape [3, 4, 5], uint8, 4 classes",
        "blocks": "4",
        "split": "train",
        "scaling": store.scaling.words,
        "digest": store.digest,
        "size": f"{out.stat().st_size / 1e6:.1f} MB",
        "file": str(out),
        "use it with": f"--set data.source=store --set 'data.path={out}'",
    }
    assert err == ""


@pytest.mark.parametrize("command", ["import", "show"])
def test_json(command, file, tmp_path, capfd):
    out = tmp_path / "s.arrow"
    options = ("data.split=test", "data.blocks=1", "data.samples=33")
    assert main(imported(file, out, *options, flags=["--json"])) == 0
    if command == "show":
        capfd.readouterr()
        assert main(["data", "show", str(out), "--json"]) == 0
    facts = json.loads(capfd.readouterr().out)
    store = BlockStore.open(out)
    assert facts == {
        "description": store.description,
        "samples": 33,
        "shape": [3, 4, 5],
        "dtype": "uint8",
        "classes": None,
        "blocks": 1,
        "split": "test",
        "scaling": {"shift": [0.0], "divisor": [255.0]},
        "digest": store.digest,
        "bytes": out.stat().st_size,
        "path": str(out),
        "use": f"--set data.source=store --set data.path={out}",
    }
    assert "33 samples" in facts["description"]


def test_the_configuration_is_read(file, tmp_path):
    (tmp_path / "c.yaml").write_text(f"data: {{source: npz, path: {file}, classes: [3, 1]}}\nspectrum: {{k: 3}}\n")
    assert main(["data", "import", "--config", str(tmp_path / "c.yaml"), "--out", str(tmp_path / "s")]) == 0
    store = BlockStore.open(tmp_path / "s")
    assert store.digest == load_source("npz", str(file), classes=(3, 1)).digest
    assert load_source("store", str(tmp_path / "s")).digest == store.digest


def npz(folder, seed):
    random = np.random.default_rng(seed)
    file = folder / f"bytes-{seed}.npz"
    x, x_test = (random.integers(0, 256, (size, 3, 4, 5), dtype=np.uint8) for size in (64, 32))
    np.savez(file, x=x, y=np.arange(64) % 4, x_test=x_test, y_test=np.arange(32) % 4)
    return file


def parquet(folder):
    random = np.random.default_rng(0)
    columns = {"x": list(random.standard_normal((64, 3))), "y": np.arange(64) % 2, "other": np.arange(64) % 3}
    pq.write_table(pa.table(columns), folder / "table.parquet")
    return folder / "table.parquet"


# Each key of the section: what is imported without it, and the value that has to change the samples.
KEYS = {
    "source": ({}, "npz"),
    "path": ({"source": "npz", "path": lambda t: npz(t, 0)}, lambda t: npz(t, 1)),
    "split": ({"source": "npz", "path": lambda t: npz(t, 0)}, "test"),
    "samples": ({}, 50),
    "classes": ({}, [3, 1]),
    "scaling": ({"source": "npz", "path": lambda t: npz(t, 0)}, "standard"),
    "target": ({"source": "parquet", "path": parquet}, "other"),
    "options": ({"source": "torch", "path": "tests.cli.test_data_command:numbers"}, {"count": 24}),
    "random_labels": ({"samples": 50}, True),
    "seed": ({"samples": 50}, 4),
    "blocks": ({"samples": 50}, 1),
}


def numbers(split, count=32):
    """A dataset for source torch."""
    return torch.utils.data.TensorDataset(torch.arange(3.0 * count).reshape(count, 3), torch.arange(count) % 2)


@pytest.mark.parametrize("key", DataConfig.model_fields)
def test_every_key_of_the_section_reaches_the_import(key, tmp_path):
    """The file holds what a study would read with the same keys, and not what it would read without the key."""
    before, value = KEYS[key]
    after = before | {key: value} | ({"path": lambda t: npz(t, 0)} if key == "source" else {})
    digests = []
    for index, given in enumerate((before, after)):
        keys = {k: v(tmp_path) if callable(v) else v for k, v in given.items()}
        words = [word for k, v in keys.items() for word in ("--set", f"data.{k}={json.dumps(v, default=str)}")]
        out = tmp_path / f"{index}.arrow"
        assert main(["data", "import", *words, "--out", str(out)]) == 0
        store = BlockStore.open(out)
        told = load_source(**{k: str(v) if k == "path" else v for k, v in keys.items()})
        assert (store.digest, store.description) == (told.digest, told.description)
        digests.append(store.digest)
    assert digests[0] != digests[1]


def test_a_store_with_random_labels_is_written_once_more_for_a_study(tmp_path):
    """The store that lies there has the labels as they are."""
    out = tmp_path / "s.arrow"
    assert main(["data", "import", "--set", "data.samples=60", "--out", str(out)]) == 0
    config = load_config(None, ["data.source=store", f"data.path={out}", "data.random_labels=true"])
    with stores_of(config, tmp_path / "runs", "spectrum") as stores:
        told = load_source("store", str(out), random_labels=True)
        assert stores.measured.digest == told.digest != BlockStore.open(out).digest
        assert Stores.reopened(stores.identity()).measured.digest == told.digest


def test_a_store_is_replaced_and_nothing_else(file, tmp_path, capfd):
    out = tmp_path / "s.arrow"
    assert main(imported(file, out)) == 0
    assert main(imported(file, out, "data.seed=1")) == 0
    assert BlockStore.open(out).digest == load_source("npz", str(file), seed=1).digest
    capfd.readouterr()
    before = file.read_bytes()
    for other in (file, tmp_path):
        assert main(imported(file, other)) == 2
        assert "exists and is no block store; remove it or give another --out" in capfd.readouterr().err
    assert file.read_bytes() == before


def damaged(file, out):
    """A store with one bit of its samples flipped."""
    main(imported(file, out))
    content = bytearray(out.read_bytes())
    place = content.find(BlockStore.open(out).block(1)[0][2].tobytes())
    content[place] ^= 1
    out.write_bytes(content)
    return ["data", "show", str(out)]


BAD = {
    "unknown source": (lambda f, t: imported(f, t / "s", "data.source=imagenet"), "unknown data.source 'imagenet'"),
    "unknown key": (lambda f, t: imported(f, t / "s", "data.sauce=npz"), "'data.sauce'"),
    "no file": (lambda f, t: imported(t / "absent", t / "s"), "absent does not exist"),
    "out below a file": (lambda f, t: imported(f, f / "s"), "cannot be written"),
    "show nothing": (lambda f, t: ["data", "show", str(t / "absent")], "is not a block store that can be read"),
    "show an npz": (lambda f, t: ["data", "show", str(f)], "is not a block store that can be read"),
    "show a damaged one": (lambda f, t: damaged(f, t / "s"), "is damaged: its samples do not have the digest"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input(case, file, tmp_path, capfd):
    build, message = BAD[case]
    arguments = build(file, tmp_path)
    capfd.readouterr()
    assert main(arguments) == 2
    out, err = capfd.readouterr()
    assert (out, len(err.splitlines())) == ("", 1)
    assert err.startswith("distlandscape: ")
    assert message in err


def test_progress_on_stderr(file, tmp_path, capfd, monkeypatch):
    monkeypatch.setattr("distlandscape.studies.progress.PLAIN_SECONDS", 0)
    assert main(imported(file, tmp_path / "s", flags=["--json"])) == 0
    out, err = capfd.readouterr()
    assert "read 90 of 90 samples" in err
    assert "writing block 4 of 4" in err
    json.loads(out)


def test_help_of_both_parts():
    """Every option says what it is for."""
    (commands,) = (a for a in build_parser()._actions if isinstance(a, argparse._SubParsersAction))
    (parts,) = (a for a in commands.choices["data"]._actions if isinstance(a, argparse._SubParsersAction))
    assert list(parts.choices) == ["import", "show"]
    for parser in parts.choices.values():
        assert parser.description
        for action in parser._actions:
            assert action.help, action.dest


@pytest.mark.parametrize("arguments", [["data"], ["data", "import"], ["data", "show"], ["data", "export"]])
def test_bad_usage(arguments, capfd):
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert capfd.readouterr().err.startswith("usage: distlandscape data")
