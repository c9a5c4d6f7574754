"""Small files that become huge, and files that never end, are refused at once and in little memory."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch

from distlandscape.config import load_config
from distlandscape.data import load_source
from distlandscape.errors import InputError
from distlandscape.files import NotRegularError, open_regular, read_regular, require_regular
from distlandscape.models import load_weights
from tests.security import bombs

SECONDS, EXTRA = 5.0, 300e6
ROOT = Path(__file__).parents[2]

# Reads each file, and says how it ended, how long it took, and how much more memory was resident at the worst moment.
PROGRAM = """
import json, resource, sys, time
from pathlib import Path
import numpy as np, pyarrow.parquet, torch
from PIL import Image
from distlandscape.cli import main
from distlandscape.data import BlockStore, load_source
from distlandscape.models import load_weights
from distlandscape.record.run import Run
from distlandscape.report.tables import load

READERS = {
    "weights": lambda path: load_weights(torch.nn.Linear(2, 2), path),
    "run": lambda path: load(Run.open(path)),
}

def status(name):
    (line,) = (line for line in open("/proc/self/status") if line.startswith(name))
    return 1024 * int(line.split()[1])

most = status("VmSize") + 6 * 2**30  # so that a bomb that goes off takes no more than this machine has
resource.setrlimit(resource.RLIMIT_AS, (most, most))
for kind, path in json.loads(sys.argv[1]):
    Path("/proc/self/clear_refs").write_text("5")
    before, began = status("VmRSS"), time.monotonic()
    try:
        READERS.get(kind, lambda path: load_source(kind, path))(path)
        said = "read"
    except BaseException as error:
        said = f"{type(error).__name__}: {error}"
    print(json.dumps([said, time.monotonic() - began, status("VmHWM") - before]), flush=True)
"""


def measured(cases):
    """(what was said, seconds, extra bytes) of each (kind, path), read one after the other in a child."""
    command = [sys.executable, "-c", PROGRAM, json.dumps([(kind, str(path)) for kind, path in cases])]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, timeout=150, env=environment)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def fifo(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    os.mkfifo(path)
    return path


def run_folder(folder, **files):
    """The least that is a run, with some files replaced: by text, by None for a pipe, by a number of zeros."""
    folder.mkdir(parents=True)
    kept = {"run.json": '{"run_id": "r", "study": "spectrum"}', "config.yaml": "{}", "log.jsonl": ""}
    for name, content in {**kept, **{key.replace("_", "."): value for key, value in files.items()}}.items():
        if content is None:
            fifo(folder / name)
        elif isinstance(content, int):
            (folder / name).touch()
            os.truncate(folder / name, content)
        else:
            (folder / name).write_text(content)
    return folder


def pictures(folder, side):
    bombs.png(folder / "a" / "0.png", side)
    bombs.png(folder / "b" / "0.png", side)
    return folder


def compressed_weights(file):
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("w/data.pkl", bytes(2**20))
    return file


def long_header(file):
    file.write_bytes((2**24).to_bytes(8, "little") + b"{" + b" " * 2**24)
    return file


def aliases(levels):
    return "\n".join(["a0: &a0 [x, x]", *(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]" for i in range(1, levels))])


PIECE, MANY = bombs.PIECE, 4 * bombs.PIECE
CASES = {
    "npz, 3.5 GB": ("npz", lambda p: bombs.npz(p, (3500, PIECE), (3500,)), "more than 100 times"),
    "npz, many rows of one byte": ("npz", lambda p: bombs.npz(p, (MANY * 16, 1), (MANY * 16,)), "more than 100 times"),
    "npz, targets alone": (
        "npz",
        lambda p: bombs.npz(p, (PIECE // 4, 4), (PIECE // 4, 4096)),
        "array 'y'.*more than 100 times",
    ),
    "npz, one huge row": ("npz", lambda p: bombs.npz(p, (2, PIECE * 512), (2,)), "bytes a sample"),
    "npz, said to be stored": (
        "npz",
        lambda p: bombs.npz(p, (PIECE * 64, 1), (PIECE * 64,), zipfile.ZIP_STORED),
        "more than 100 times",
    ),
    "npz, packed otherwise": (
        "npz",
        lambda p: bombs.npz(p, (PIECE, 1), (PIECE,), zipfile.ZIP_LZMA),
        "cannot read .* damaged",
    ),
    "idx, images": ("idx", lambda p: bombs.idx(p, PIECE, 64), "more than 100 times"),
    "idx, many small ones": ("idx", lambda p: bombs.idx(p, MANY * 16, 1), "more than 100 times"),
    "parquet, runs of one number": (
        "parquet",
        lambda p: bombs.parquet(p, x=np.zeros(MANY), y=np.zeros(MANY, np.int8)),
        "the rows of .* more than 100 times",
    ),
    "parquet, one long list": ("parquet", lambda p: bombs.one_long_list(p, 32 * PIECE), "a row group of .* smaller"),
    "parquet, a huge page": (
        "parquet",
        lambda p: bombs.parquet(p, image=[bytes(256 * PIECE)], y=[0], compression="zstd"),
        "a page of .* more than 100 times",
    ),
    "parquet, a picture again and again": ("parquet", lambda p: bombs.repeated_image(p, 24, 31 * PIECE), "read"),
    "image folder": ("image_folder", lambda p: pictures(p, 9000), "far too many pixels"),
    "store, compressed": (
        "store",
        lambda p: bombs.store(p, MANY, json.dumps({"samples": MANY, "digest": "0" * 64, "description": "zeros"})),
        "a batch is compressed",
    ),
    "weights, compressed": ("weights", compressed_weights, "is a compressed archive"),
    "weights, a bytearray": ("weights", lambda p: bombs.weights(p, bombs.bytearray_of(3 * 10**9)), "a bytearray"),
    "weights, copies of a text": (
        "weights",
        lambda p: bombs.weights(p, bombs.copies_of_text(PIECE, 2000)),
        "copies by references",
    ),
    "weights, copies of a tuple": (
        "weights",
        lambda p: bombs.weights(p, bombs.copies_of_tuple(50_000, 1000)),
        "copies by references",
    ),
    "weights, a long header": ("weights", long_header, "has a header of 16,777,216 bytes"),
    "run, gigabytes of run.json": ("run", lambda p: run_folder(p, run_json=3 * 10**9), "1,048,576 at most"),
    "run, gigabytes of log": ("run", lambda p: run_folder(p, log_jsonl=3 * 10**9), "268,435,456 at most"),
    "run, gigabytes of result": ("run", lambda p: run_folder(p, result_json=3 * 10**9), "67,108,864 at most"),
    "run, references": ("run", lambda p: run_folder(p, config_yaml=aliases(60)), "references .* are not allowed"),
    "run, lists in lists": ("run", lambda p: run_folder(p, result_json="[" * 100_000), "result.json is damaged"),
    **{
        f"run, {name} is a pipe": ("run", lambda p, name=name: run_folder(p, **{name: None}), "is no regular file")
        for name in ("run_json", "config_yaml", "log_jsonl", "result_json", "progress_json", "mlflow_json")
    },
    "npz is a pipe": ("npz", fifo, "is no regular file"),
    "parquet is a pipe": ("parquet", fifo, "is no regular file"),
    "store is a pipe": ("store", fifo, "is no regular file"),
    "weights are a pipe": ("weights", fifo, "is not an existing file"),
    "image is a pipe": ("image_folder", lambda p: fifo(p / "a" / "0.png").parents[1], "is no regular file"),
    "idx is a pipe": ("idx", lambda p: fifo(p / "train-images-idx3-ubyte").parent, "has neither"),
    "cifar is a pipe": ("cifar10", lambda p: fifo(p / "data_batch_1.bin").parent, "has no data_batch_1.bin"),
    "npz is endless": ("npz", lambda p: Path("/dev/zero"), "is no regular file"),
    "parquet is endless": ("parquet", lambda p: Path("/dev/zero"), "is no regular file"),
    "store is endless": ("store", lambda p: Path("/dev/zero"), "is no regular file"),
}


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    """How each case ended."""
    folder = tmp_path_factory.mktemp("bombs")
    made = [(kind, build(folder / f"{number}")) for number, (kind, build, _) in enumerate(CASES.values())]
    return dict(zip(CASES, measured(made), strict=True))


@pytest.mark.parametrize("case", CASES)
def test_refused_at_once_in_little_memory(case, outcomes):
    said, seconds, extra = outcomes[case]
    *_, message = CASES[case]
    if message != "read":
        assert said.startswith(("InputError: ", "NotRegularError: ")), said
        assert len(said) < 600
    assert re.search(message, said), said
    assert extra < EXTRA
    assert seconds < SECONDS


@pytest.mark.parametrize("where", ["a pipe", "/dev/zero"])
def test_a_configuration_that_never_ends(where, tmp_path):
    path = fifo(tmp_path / "c.yaml") if where == "a pipe" else where
    with pytest.raises(InputError, match="is no regular file"):
        load_config(path)


def test_only_regular_files_are_opened(tmp_path):
    (tmp_path / "file").write_bytes(b"content")
    (tmp_path / "link").symlink_to("file")
    with open_regular(tmp_path / "link") as stream:  # data may lie elsewhere
        assert stream.read() == b"content"
    assert read_regular(tmp_path / "file", 7) == b"content"
    with pytest.raises(InputError, match="has 7 bytes, and files of its kind have 6 at most"):
        read_regular(tmp_path / "file", 6)
    with pytest.raises(IsADirectoryError):
        open_regular(tmp_path)
    with pytest.raises(FileNotFoundError):
        open_regular(tmp_path / "absent")
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(tmp_path / "socket"))
        with pytest.raises(NotRegularError):
            open_regular(tmp_path / "socket")
    require_regular(tmp_path, {"file": 7, "absent": 0})
    for limits in ({"file": 6}, {"socket": 1}):
        with pytest.raises(InputError):
            require_regular(tmp_path, limits)


def test_dense_data_of_ordinary_size_are_read(tmp_path):
    """Zeros are packed a thousand times; up to 32 MiB nobody minds, and above that nobody who saves them plainly."""
    x, y = np.zeros((40, 2**20), np.uint8), np.arange(40) % 10
    np.savez_compressed(tmp_path / "packed.npz", x=x[:30], y=y[:30])
    assert load_source("npz", str(tmp_path / "packed.npz")).samples == 30
    np.savez_compressed(tmp_path / "packed.npz", x=x, y=y)
    with pytest.raises(InputError, match="save it uncompressed"):
        load_source("npz", str(tmp_path / "packed.npz"))
    np.savez(tmp_path / "plain.npz", x=x, y=y)
    assert load_source("npz", str(tmp_path / "plain.npz")).samples == 40
    rows = pa.FixedSizeListArray.from_arrays(x[:8].ravel(), x.shape[1])
    bombs.parquet(tmp_path / "t.parquet", x=rows, y=y[:8])
    with pytest.raises(InputError, match="write it with a smaller row_group_size"):
        load_source("parquet", str(tmp_path / "t.parquet"))
    bombs.parquet(tmp_path / "t.parquet", x=rows, y=y[:8], row_group_size=4)
    assert load_source("parquet", str(tmp_path / "t.parquet")).samples == 8


def test_what_torch_saves_is_read(tmp_path):
    """Optimizers, sizes, devices and bytes beside the weights are no bombs."""
    model = torch.nn.Sequential(*[torch.nn.Linear(4, 4) for _ in range(40)])
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.ones(1, 4)).sum().backward()
    optimizer.step()
    beside = {"optimizer": optimizer.state_dict(), "note": b"bytes", "device": torch.device("cpu")}
    sizes = [parameter.shape for parameter in model.parameters()] * 50
    torch.save({"state_dict": model.state_dict(), "sizes": sizes, **beside}, tmp_path / "new.pt")
    torch.save(model.state_dict(), tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    for name in ("new.pt", "old.pt"):
        load_weights(model, tmp_path / name)


def test_an_archive_with_two_directories_is_refused(tmp_path):
    """zipfile reads the one before the end, torch the one that the end names."""
    torch.save(torch.nn.Linear(2, 2).state_dict(), tmp_path / "plain.pt")
    content = (tmp_path / "plain.pt").read_bytes()
    (tmp_path / "moved.pt").write_bytes(b"#" * 64 + content)
    assert zipfile.ZipFile(tmp_path / "moved.pt").testzip() is None
    with pytest.raises(InputError, match="is damaged or no state dict"):
        load_weights(torch.nn.Linear(2, 2), tmp_path / "moved.pt")
    bombs.weights(tmp_path / "upper.pt", b"").write_bytes(
        bombs.weights(tmp_path / "upper.pt", bombs.bytearray_of(1)).read_bytes().replace(b"data.pkl", b"DATA.pkl")
    )
    with pytest.raises(InputError, match="a bytearray"):
        load_weights(torch.nn.Linear(2, 2), tmp_path / "upper.pt")
