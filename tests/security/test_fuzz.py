"""Files with flipped, cut, repeated and replaced bytes: each is read, or refused by one sentence, and soon."""

from __future__ import annotations

import json
import shutil
import time
import warnings
from collections import Counter

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import save_file

from distlandscape.config import load_config
from distlandscape.data import BlockStore, load_source
from distlandscape.errors import InputError
from distlandscape.files import open_regular
from distlandscape.models import load_weights
from distlandscape.parquet_pages import pages, row_groups
from distlandscape.record.run import Run
from distlandscape.report.tables import load
from tests.data import fabricate as make

SECONDS, LONGEST = 2.0, 1000
FEW, MANY = 60, 3000
CONFIGURATION = """
data: {source: npz, path: x.npz, classes: [1, 2], samples: 100}
model:
  name: mlp
  options: {hidden: [5, 3], activation: tanh}
spectrum: {k: 3, tol: 1.0e-4, trace_probes: 5}
"""
NASTY = [b"\0" * 8, b"\xff" * 8, b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f", b"9" * 5000, b"[" * 2000, b"1e400", b"-1"]


def mutated(content, rng):
    """The content with one to four changes."""
    for _ in range(rng.integers(1, 5)):
        at, length = int(rng.integers(len(content) + 1)), int(rng.integers(1, 40))
        change = rng.integers(6)
        if change == 0:  # flip a bit
            at = min(at, len(content) - 1)
            content = content[:at] + bytes([content[at] ^ 1 << int(rng.integers(8))]) + content[at + 1 :]
        elif change == 1:
            content = content[:at] + content[at + length :]
        elif change == 2:
            content = content[:at] + content[at : at + length] + content[at:]
        elif change == 3:
            content = content[:at] + rng.bytes(length) + content[at + length :]
        elif change == 4:
            nasty = NASTY[rng.integers(len(NASTY))]
            content = content[:at] + nasty + content[at + len(nasty) :]
        else:
            content = content[:at] if rng.integers(4) == 0 else content[at:] + content[:at]
        content = content or b"\0"
    return content


def npz(folder):
    x, y = np.random.default_rng(0).standard_normal((40, 4)), np.arange(40) % 3
    np.savez_compressed(folder / "good", x=x, y=y)
    return folder / "good.npz", lambda file: load_source("npz", str(file))


def idx(folder):
    x, y = make.arrays(40)
    good = make.idx_folder(folder / "idx", x, y)
    return good / "train-images-idx3-ubyte", lambda file: load_source("idx", str(file.parent))


def idx_gz(folder):
    x, y = make.arrays(40)
    good = make.idx_folder(folder / "idx", x, y, compress=True)
    return good / "train-labels-idx1-ubyte.gz", lambda file: load_source("idx", str(file.parent))


def lists(folder):
    x, y = make.arrays(40)
    return make.parquet(folder / "t.parquet", x=make.lists(x), y=y), lambda file: load_source("parquet", str(file))


def table(folder):
    columns = {"a": np.arange(40.0), "b": np.arange(40) % 2, "y": np.arange(40) % 3}
    return make.parquet(folder / "t.parquet", **columns), lambda file: load_source("parquet", str(file))


def encoded_images(folder):
    x, y = make.arrays(40)
    good = make.parquet(folder / "t.parquet", image=make.hugging_face(x), y=y)
    return good, lambda file: load_source("parquet", str(file))


def pictures(folder):
    x, y = make.arrays(8, classes=2)
    make.image_folder(folder / "f", x, y, ["a", "b"])
    return folder / "f" / "a" / "0002.png", lambda file: load_source("image_folder", str(file.parents[1]))


def store(folder):
    x, y = make.arrays(40)
    BlockStore.from_arrays(x, y, blocks=2).write(folder / "good.arrow")
    return folder / "good.arrow", lambda file: load_source("store", str(file), samples=20)


def opened_store(folder):
    """Of a store that is opened alone, whatever the digest says, every block can be had."""

    def read(file):
        opened = BlockStore.open(file)
        for index in range(opened.blocks):
            x, y = opened.block(index)
            assert len(x) == len(y) > 0
            x.sum(), y.sum()

    return store(folder)[0], read


def model():
    return torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.BatchNorm1d(3))


def safetensors(folder):
    save_file(model().state_dict(), folder / "w.safetensors")
    return folder / "w.safetensors", lambda file: load_weights(model(), file)


def torch_archive(folder):
    torch.save(model().state_dict(), folder / "w.pt")
    return folder / "w.pt", lambda file: load_weights(model(), file)


def old_torch(folder):
    torch.save(model().state_dict(), folder / "w.pt", _use_new_zipfile_serialization=False)
    return folder / "w.pt", lambda file: load_weights(model(), file)


def configuration(folder):
    (folder / "c.yaml").write_text(CONFIGURATION)
    return folder / "c.yaml", lambda file: load_config(file).digest()


def run_folder(folder):
    made = Run.create(folder, "spectrum", load_config().model_dump(mode="json"), {"parameters": 3})
    made.log.append("started")
    values = pa.table({"end": ["top"], "index": [0], "eigenvalue": [1.0], "residual": [0.0], "converged": [True]})
    made.write_table("eigenvalues", values)
    made.write_result({"samples": 40, "parameters": 3, "trust": {"norm": 1.0}})
    return made.path


def of_run(name):
    def build(folder):
        path = run_folder(folder)
        return path / name, lambda file: load(Run.open(path))

    return build


KINDS = {
    "npz": npz,
    "IDX": idx,
    "IDX, gzipped": idx_gz,
    "Parquet of lists": lists,
    "Parquet of numbers": table,
    "Parquet of images": encoded_images,
    "pictures": pictures,
    "block store": store,
    "block store, opened": opened_store,
    "safetensors": safetensors,
    "torch.save": torch_archive,
    "torch.save of old": old_torch,
    "configuration": configuration,
    "run.json": of_run("run.json"),
    "config.yaml": of_run("config.yaml"),
    "result.json": of_run("result.json"),
    "table of a run": of_run("tables/eigenvalues.parquet"),
}


def fuzz(kind, folder, count, seed):
    """Read so many mutations of a good file; how often each outcome came."""
    path, read = KINDS[kind](folder)
    good, rng = path.read_bytes(), np.random.default_rng(seed)
    read(path)
    outcomes: Counter[str] = Counter()
    longest = 0
    for number in range(count):
        path.write_bytes(mutated(good, rng))
        began = time.process_time()  # others may be using the machine
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # Pillow's and torch's, about what they are given
                read(path)
            outcomes["read"] += 1
        except InputError as error:
            outcomes["refused"] += 1
            longest = max(longest, len(str(error)))
        except Exception as error:
            shutil.copy(path, folder / "culprit")
            raise AssertionError(f"mutation {number} of seed {seed} ({folder / 'culprit'})") from error
        assert time.process_time() - began < SECONDS, f"mutation {number} of seed {seed}"
    assert longest < LONGEST
    return outcomes


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_files_are_read_or_refused(kind, tmp_path):
    outcomes = fuzz(kind, tmp_path, FEW, 0)
    assert outcomes["refused"] >= FEW // 10
    assert outcomes["read"] + outcomes["refused"] == FEW


@pytest.mark.attack
@pytest.mark.timeout(900)
@pytest.mark.parametrize("kind", KINDS)
def test_thousands_of_damaged_files(kind, tmp_path):
    fuzz(kind, tmp_path, MANY, 1)


HEADER = {"samples": 40, "digest": "0" * 64, "description": "d", "split": "train", "scaling": None}
ODD = [None, -1, 0, 41, 2**70, True, 40.0, "40", [], {}, "../../x", "\ud800", [[[]]]]


@pytest.mark.parametrize("key", HEADER)
def test_odd_headers_of_a_store(key, tmp_path):
    """Each value of a header may be of any type, or missing."""
    x, y = make.arrays(40)
    BlockStore.from_arrays(x, y, blocks=2).write(tmp_path / "good.arrow")
    reader = pa.ipc.open_file(tmp_path / "good.arrow")
    whole = {**HEADER, "digest": json.loads(reader.schema.metadata[b"distlandscape"])["digest"]}
    without = {name: value for name, value in whole.items() if name != key}
    for header in (without, *({**whole, key: odd} for odd in ODD)):
        schema = reader.schema.with_metadata({b"distlandscape": json.dumps(header).encode()})
        with pa.ipc.new_file(tmp_path / "odd.arrow", schema) as writer:
            for index in range(2):
                writer.write_batch(reader.get_batch(index).replace_schema_metadata(schema.metadata))
        fine = (header.get(key) is None and key in ("split", "scaling")) or (
            isinstance(header.get(key), str) and key in ("split", "description")
        )
        if fine:
            BlockStore.open(tmp_path / "odd.arrow")
            continue
        with pytest.raises(InputError, match="is not a block store that can be read"):
            BlockStore.open(tmp_path / "odd.arrow")


@pytest.mark.parametrize(
    "columns",
    [
        {"x": pa.array(["a"] * 40), "y": pa.array(range(40))},
        {"x": pa.array([[1]] * 40), "y": pa.array(range(40))},
        {"x": pa.array(range(40)).dictionary_encode(), "y": pa.array(range(40))},
        {"x": pa.array(range(40)), "z": pa.array(range(40))},
        {"y": pa.array(range(40))},
        {"x": pa.array(range(30)), "y": pa.array(range(30))},
    ],
)
def test_odd_columns_of_a_store(columns, tmp_path):
    table = pa.table(columns).replace_schema_metadata({"distlandscape": json.dumps(HEADER)})
    with pa.ipc.new_file(tmp_path / "odd.arrow", table.schema) as writer:
        writer.write_table(table)
    with pytest.raises(InputError, match="is not a block store that can be read"):
        BlockStore.open(tmp_path / "odd.arrow")


@pytest.mark.parametrize(
    "assignment",
    [
        f"spectrum.k=0x{'f' * 5000}",
        f"spectrum.k={'9' * 5000}",
        f"spectrum.k=1{':59' * 9000}",
        f"spectrum.k={'9' * 39}.5",
        "spectrum.tol=1e400",
        "spectrum.tol=.nan",
        f"{'a' * 100_000}.b=1",
        f"data.{'b' * 100_000}=1",
        f"model.options.{'a.' * 3000}b=1",
        f"data.split={'[' * 300}{']' * 300}",
        f"spectrum.layers={'a' * 100_000}",
        "model.name=\ud800",
        "\udcff.x=1",
        "data.path=\0",
    ],
    ids=lambda text: ascii(text[:30]),
)
def test_odd_assignments_are_one_short_sentence(assignment):
    with pytest.raises(InputError) as caught:
        load_config(None, [assignment])
    assert len(str(caught.value)) <= 500


def test_footers_are_read_as_pyarrow_reads_them(tmp_path):
    """pyarrow itself cannot be asked of a damaged file: it ends the process."""
    x, y = make.arrays(40)
    columns = {"x": make.lists(x), "image": make.hugging_face(x), "y": y, "name": ["a"] * 40}
    file = make.parquet(tmp_path / "t.parquet", **columns)
    metadata = pq.ParquetFile(file).metadata
    with open_regular(file) as stream:
        groups = list(row_groups(stream))
        assert len(groups) == metadata.num_row_groups == 4
        for index, chunks in enumerate(groups):
            assert len(chunks) == metadata.num_columns == 5
            for place, chunk in enumerate(chunks):
                theirs = metadata.row_group(index).column(place)
                assert chunk.path == theirs.path_in_schema
                assert chunk.texts == (theirs.physical_type == "BYTE_ARRAY")
                assert (chunk.size, chunk.values) == (theirs.total_compressed_size, theirs.num_values)
                found = list(pages(stream, chunk))
                assert sum(page.values for page in found) == theirs.num_values
                assert 0 < sum(page.packed for page in found) < theirs.total_compressed_size
                assert 0 < sum(page.unpacked for page in found) < theirs.total_uncompressed_size
