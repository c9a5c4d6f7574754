"""Every way a source can be wrong is one sentence that names the file and says what to do. (npz: test_sources.py.)"""

from __future__ import annotations

import gzip
import shutil
import struct
import tracemalloc
import zlib

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from distlandscape.data import BlockStore, idx, load_source
from distlandscape.errors import InputError
from tests.data import fabricate as make

X, Y = make.arrays(30, classes=3)
PHOTOS = make.arrays(30, (3, 32, 32), 3)[0]
IMAGES, LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"


def idx_files(tmp_path, images=None, labels=None, compress=False):
    """A good folder with one file's content replaced."""
    folder = make.idx_folder(tmp_path / "idx", X, Y, compress=compress)
    for name, content in ((IMAGES, images), (LABELS, labels)):
        if content is not None:
            (folder / f"{name}{'.gz' if compress else ''}").write_bytes(content)
    return {"path": folder}


def head(*sizes):
    return struct.pack(f">{1 + len(sizes)}I", 0x800 + len(sizes), *sizes)


GOOD_IMAGES, GOOD_LABELS = make.idx_bytes(X[:, 0]), make.idx_bytes(Y)
FLIPPED = bytearray(gzip.compress(GOOD_IMAGES))
FLIPPED[len(FLIPPED) // 2] ^= 255
IDX = {
    "no folder": (lambda p: {"path": p / "absent"}, "absent does not exist; give a folder with train-images"),
    "no path": (lambda p: {"path": None}, "data.source=idx needs data.path, a folder with"),
    "a file": (lambda p: {"path": make.parquet(p / "f", x=[1])}, "f is a file; data.source=idx needs a folder"),
    "empty folder": (lambda p: {"path": p}, f"neither {IMAGES} nor {IMAGES}.gz"),
    "no test split": (lambda p: {**idx_files(p), "split": "test"}, "neither t10k-images-idx3-ubyte nor"),
    "wrong magic": (lambda p: idx_files(p, b"\0\0\x0d\3" + GOOD_IMAGES[4:]), "begins with 0x00000d03, not 0x00000803"),
    "labels for images": (lambda p: idx_files(p, GOOD_LABELS + bytes(40)), "begins with 0x00000801, not 0x00000803"),
    "text": (lambda p: idx_files(p, b"x,y\n1,2\n3,4\n5,6\n7,8\n"), "begins with 0x782c790a"),
    "no content": (lambda p: idx_files(p, b""), "truncated or damaged"),
    "header only": (lambda p: idx_files(p, GOOD_IMAGES[:16]), "truncated: its header asks for 616 bytes, it has 16"),
    "half": (lambda p: idx_files(p, GOOD_IMAGES[:300]), "truncated: its header asks for 616 bytes, it has 300"),
    "more": (lambda p: idx_files(p, GOOD_IMAGES + b"\0"), "holds more than its header says"),
    "more labels": (lambda p: idx_files(p, labels=GOOD_LABELS + b"\0"), "holds more than its header says"),
    "claims exabytes": (lambda p: idx_files(p, head(2**32 - 1, 2**31, 2)), "truncated: its header asks for 18446744"),
    "unequal": (lambda p: idx_files(p, labels=make.idx_bytes(Y[:-1])), "30 images and train-labels.* 29 labels"),
    "no samples": (lambda p: idx_files(p, head(0, 4, 5), head(0)), "is empty: 0 images of 4×5"),
    "no pixels": (lambda p: idx_files(p, head(30, 0, 5)), "is empty: 30 images of 0×5"),
    "no gzip": (lambda p: idx_files(p, b"plain", compress=True), "truncated or damaged"),
    "half a gzip": (lambda p: idx_files(p, gzip.compress(GOOD_IMAGES)[:200], compress=True), "truncated or damaged"),
    "flipped gzip": (lambda p: idx_files(p, bytes(FLIPPED), compress=True), "truncated or damaged"),
    "short gzip": (lambda p: idx_files(p, gzip.compress(GOOD_IMAGES[:300]), compress=True), "ends 316 bytes too early"),
    "bomb": (
        lambda p: idx_files(p, gzip.compress(GOOD_IMAGES + bytes(2**22)), compress=True),
        "holds more than its header says",
    ),
    "gzip claims exabytes": (
        lambda p: idx_files(p, gzip.compress(head(2**32 - 1, 2**31, 2)), compress=True),
        "has 4,294,967,296 bytes a sample, and samples have 67,108,864 at most",
    ),
    "more samples than there are": (lambda p: {**idx_files(p), "samples": 31}, "the source holds 30; lower"),
    "no samples wanted": (lambda p: {**idx_files(p), "samples": 0}, "the source holds 30; raise"),
    "a class that is absent": (lambda p: {**idx_files(p), "classes": (0, 3)}, r"names \[3\], which no sample has"),
    "too many blocks": (lambda p: {**idx_files(p), "blocks": 4}, "choose at most 1"),
    "options": (lambda p: {**idx_files(p), "options": {"a": 1}}, "remove them for idx"),
    "target": (lambda p: {**idx_files(p), "target": "label"}, "data.target names a column of data.source=parquet"),
    "unknown split": (lambda p: {**idx_files(p), "split": "valid"}, "unknown data.split 'valid'; known: train, test"),
    "into nowhere": (lambda p: {**idx_files(p), "into": ""}, "'' is no name of a file to write the store to; give one"),
    "into a null": (lambda p: {**idx_files(p), "into": "a\0b"}, "is no name of a file to write"),
    "into a folder": (lambda p: {**idx_files(p), "into": p / "idx"}, "idx cannot be written"),
    "into below a file": (lambda p: {**idx_files(p), "into": p / "idx" / IMAGES / "s"}, "s cannot be written"),
}


def cifar_files(tmp_path, form="cifar10", **changed):
    folder = make.cifar_folder(tmp_path / form, form, PHOTOS, Y)
    for name, content in changed.items():
        (folder / f"{name}.bin").write_bytes(content)
    return {"path": folder}


def without(options, name):
    (options["path"] / name).unlink()
    return options


RECORD, FINE = bytes(3073), bytes(3074)
CIFAR = {
    "a file missing": ("cifar10", lambda p: without(cifar_files(p), "data_batch_4.bin"), "has no data_batch_4.bin"),
    "no test": ("cifar10", lambda p: {**cifar_files(p), "split": "test"}, "has no test_batch.bin"),
    "the other one": ("cifar10", lambda p: cifar_files(p, "cifar100"), "has no data_batch_1.bin"),
    "empty": ("cifar10", lambda p: cifar_files(p, data_batch_2=b""), "data_batch_2.bin has 0 bytes, no multiple of"),
    "truncated": ("cifar10", lambda p: cifar_files(p, data_batch_2=RECORD[1:]), "has 3072 bytes, no multiple of the"),
    "label 10": ("cifar10", lambda p: cifar_files(p, data_batch_2=b"\n" + RECORD[1:]), "the label 10, CIFAR-10 has"),
    "label 100": ("cifar100", lambda p: cifar_files(p, "cifar100", train=b"\0d" + FINE[2:]), "label 100, CIFAR-100"),
    "records of CIFAR-10": ("cifar100", lambda p: cifar_files(p, "cifar100", train=RECORD), "multiple of the 3074"),
    "no path": ("cifar100", lambda p: {}, "needs data.path, the folder of the binary version, with train.bin"),
}


def pictures(tmp_path, **extra):
    """Two good classes, and files (or nothing) put beside them."""
    make.image_folder(tmp_path / "f", X[:6], Y[:6] % 2, ["a", "b"])
    for name, content in extra.items():
        file = tmp_path / "f" / name.replace("__", "/").replace("_png", ".png").replace("_jpg", ".jpg")
        (file if content is None else file.parent).mkdir(parents=True, exist_ok=True)
        if content is not None:
            file.write_bytes(content)
    return {"path": tmp_path / "f"}


def split_pictures(tmp_path, *splits, names=("a", "b")):
    for split in splits:
        make.image_folder(tmp_path / "f" / split, X[:6], Y[:6] % 2, names if split == "test" else ["a", "b"])
    return {"path": tmp_path / "f"}


def bomb(side):
    """A PNG whose header claims that many pixels a side."""
    parts = [(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)), (b"IDAT", zlib.compress(bytes(99)))]
    chunks = [struct.pack(">I", len(c)) + n + c + struct.pack(">I", zlib.crc32(n + c)) for n, c in parts]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def tiff(tmp_path):
    Image.new("L", (5, 4)).save(tmp_path / "t.tiff")
    return (tmp_path / "t.tiff").read_bytes()


def deep(tmp_path):
    Image.fromarray(np.zeros((4, 5), np.uint16)).save(tmp_path / "deep.png")
    return (tmp_path / "deep.png").read_bytes()


GREY, WIDE = make.picture(X[0]), make.picture(make.arrays(1, (1, 4, 6))[0][0])
FOLDERS = {
    "no classes": (lambda p: {"path": p}, "has no folders of classes"),
    "no images": (lambda p: pictures(p, c=None), "c holds no images"),
    "other files only": (lambda p: pictures(p, c__notes=b"."), "c holds no images"),
    "text": (lambda p: pictures(p, b__zz_png=b"text"), "zz.png is no PNG or JPEG image that can be read"),
    "empty file": (lambda p: pictures(p, a__0_png=b""), "0.png is no PNG or JPEG"),
    "truncated": (lambda p: pictures(p, b__zz_png=GREY[:-30]), "zz.png is no PNG or JPEG"),
    "other format": (lambda p: pictures(p, b__zz_png=tiff(p)), "zz.png is no PNG or JPEG"),
    "folder for an image": (lambda p: pictures(p, b__zz_png=None), "zz.png is no PNG or JPEG"),
    "other shape": (lambda p: pictures(p, b__zz_png=WIDE), "zz.png is 1×4×6, .*0000.png is 1×4×5; make all"),
    "other mode": (lambda p: pictures(p, b__zz_png=make.picture(PHOTOS[0, :, :4, :5])), "zz.png is 3×4×5, "),
    "sixteen bits": (lambda p: pictures(p, b__zz_png=deep(p)), "zz.png has more than eight bits"),
    "bomb": (lambda p: pictures(p, b__zz_png=bomb(2**15)), "zz.png has far too many pixels"),
    "smaller bomb": (lambda p: pictures(p, b__zz_png=bomb(10_000)), "zz.png has far too many pixels"),
    "no test": (lambda p: {**split_pictures(p, "train"), "split": "test"}, "has no folder 'test'; make it, or"),
    "no train": (lambda p: split_pictures(p, "test"), "has no folder 'train'; make it, or set data.split=test"),
    "a class of the test alone": (
        lambda p: {**split_pictures(p, "train", "test", names=("a", "z")), "split": "test"},
        "z is a class that the train split does not have",
    ),
}


def table(tmp_path, **columns):
    return {"path": make.parquet(tmp_path / "t.parquet", **columns)}


def content(tmp_path, data):
    (tmp_path / "t.parquet").write_bytes(data)
    return {"path": tmp_path / "t.parquet"}


def damaged(tmp_path, place=4, **options):
    """Ten bytes overwritten; at 4 a page begins."""
    pq.write_table(pa.table({"x": make.lists(X), "y": Y}), tmp_path / "t.parquet", **options)
    data = bytearray((tmp_path / "t.parquet").read_bytes())
    data[place : place + 10] = bytes(10)
    return content(tmp_path, data)


def two_names(tmp_path):
    pq.write_table(pa.table([pa.array(Y)] * 3, names=["y", "a", "a"]), tmp_path / "t.parquet")
    return {"path": tmp_path / "t.parquet"}


def two_files(tmp_path, **second):
    for name, columns in (("train-1", {"x": make.lists(X), "y": Y}), ("train-2", second)):
        make.parquet(tmp_path / "t" / f"{name}.parquet", **columns)
    return {"path": tmp_path / "t"}


NULL = pa.array([None, *Y[1:].tolist()])
HUGGING = make.hugging_face(X)
PARQUET = {
    "no file": (lambda p: {"path": p / "absent"}, "absent does not exist; give a Parquet file"),
    "folder without": (lambda p: {"path": p}, r"has no train\*.parquet"),
    "no test": (lambda p: {**two_files(p, x=make.lists(X), y=Y), "split": "test"}, r"has no test\*.parquet"),
    "text": (lambda p: content(p, b"x,y\n1,2\n"), "no Parquet file that can be read"),
    "empty": (lambda p: content(p, b""), "no Parquet file that can be read"),
    "cut off": (lambda p: content(p, table(p, x=make.lists(X), y=Y)["path"].read_bytes()[:-9]), "no Parquet file"),
    "damaged": (damaged, "no Parquet file that can be read"),
    "page with a checksum": (lambda p: damaged(p, 200, write_page_checksum=True), "no Parquet file that can be read"),
    "no target": (lambda p: table(p, x=make.lists(X), label=Y), r"no column 'y'; set data.target to one of \['x', 'l"),
    "target only": (lambda p: table(p, y=Y), "no columns beside the target"),
    "text column": (lambda p: table(p, a=Y, b=["a"] * 30, y=Y), "column 'b' holds string, no numbers; remove it"),
    "text target": (lambda p: table(p, a=Y, y=["a"] * 30), "column 'y' holds string, no numbers"),
    "lists beside numbers": (lambda p: table(p, a=Y, b=make.lists(X), y=Y), "column 'b' holds list"),
    "dates": (lambda p: table(p, a=Y.astype("datetime64[s]"), y=Y), "column 'a' holds timestamp"),
    "null target": (lambda p: table(p, a=Y, y=NULL), "column 'y' holds nulls"),
    "null feature": (lambda p: table(p, a=NULL, y=Y), "column 'a' holds nulls"),
    "null list": (lambda p: table(p, x=pa.array([None] + [[1, 2]] * 29), y=Y), "column 'x' holds nulls"),
    "null in a list": (lambda p: table(p, x=pa.array([[1, None]] + [[1, 2]] * 29), y=Y), "column 'x' holds nulls"),
    "NaN": (lambda p: table(p, a=np.full(30, np.nan), y=Y), "x holds NaN"),
    "ragged": (lambda p: table(p, x=pa.array([[1, 2]] * 29 + [[1]]), y=Y), "lists of 1 to 2 values; pad or cut"),
    "ragged groups": (
        lambda p: table(p, x=pa.array([[1, 2]] * 10 + [[1]] * 20), y=Y),
        r"lists of 1 to 2 values|have the shapes \(2,\) and \(1,\); pad or cut",
    ),
    "empty lists": (lambda p: table(p, x=pa.array([[]] * 30, pa.list_(pa.int8())), y=Y), "empty"),
    "lists of text": (lambda p: table(p, x=pa.array([["a"]] * 30), y=Y), "column 'x' holds string"),
    "lists of lists": (lambda p: table(p, x=pa.array([[[1]]] * 30), y=Y), "column 'x' holds list"),
    "text x": (lambda p: table(p, x=["a"] * 30, y=Y), "column 'x' holds string"),
    "flat x": (lambda p: table(p, x=Y, y=Y), r"x must be \(N, …\)"),
    "labels beyond int64": (lambda p: table(p, a=Y, y=np.full(30, 2**63, np.uint64)), "the label 9223372036854775808"),
    "no rows": (lambda p: table(p, x=pa.array([], pa.list_(pa.int8())), y=pa.array([], pa.int8())), "holds no rows"),
    "two columns of one name": (two_names, "several columns of one name"),
    "files of two tables": (lambda p: two_files(p, x=make.lists(X), z=Y), "train-2.parquet has other columns than"),
    "shapes of two files": (lambda p: two_files(p, x=make.lists(X[:, :, :2]), y=Y), r"shapes \(20,\) and \(10,\)"),
    "row without an image": (
        lambda p: table(p, image=pa.array([{"bytes": None, "path": "a"}, *HUGGING.to_pylist()[1:]]), y=Y),
        "rows without an image",
    ),
    "broken image": (
        lambda p: table(p, image=pa.array([b"a", *[GREY] * 29]), y=Y),
        "column 'image' is no PNG or JPEG image",
    ),
    "images of two shapes": (
        lambda p: table(p, img=pa.array([GREY, WIDE] * 15), y=Y),
        r"images of the shapes \(1, 4, 5\) and \(1, 4, 6\)",
    ),
    "images by path": (lambda p: table(p, image=pa.array([{"path": "a"}] * 30), y=Y), "column 'image' holds struct"),
}

FACTORIES = "tests.data.datasets"
TORCH = {
    "no path": ({"path": None}, "needs data.path, the package.module:factory of a dataset"),
    "no colon": ({"path": "torchvision.datasets.MNIST"}, "needs data.path, the package.module:factory"),
    "no module": ({"path": "no.such.module:f"}, "ModuleNotFoundError"),
    "no factory": ({"path": f"{FACTORIES}:absent"}, "AttributeError"),
    "broken module": ({"path": "tests.models.breaks_on_import:f"}, "ArithmeticError"),
    "module that exits": ({"path": "tests.models.exits_on_import:f"}, "SystemExit"),
    "no function": ({"path": f"{FACTORIES}:VALUE"}, "is not callable"),
    "failing": ({"path": f"{FACTORIES}:fails"}, "cannot be built with options {} .RuntimeError: no disk"),
    "exiting": ({"path": f"{FACTORIES}:exits"}, "SystemExit: 3"),
    "unknown option": (
        {"path": f"{FACTORIES}:tensors", "options": {"depth": 3}},
        "unexpected keyword argument 'depth'",
    ),
    "split as an option": ({"path": f"{FACTORIES}:tensors", "options": {"split": "test"}}, "must not hold 'split'"),
    "no test": ({"path": f"{FACTORIES}:train_only", "split": "test"}, "a parameter named split, or set data.split"),
    "None": ({"path": f"{FACTORIES}:nothing"}, "made a NoneType, no dataset"),
    "iterable": ({"path": f"{FACTORIES}:Endless"}, "made a Endless, no dataset"),
    "empty": ({"path": f"{FACTORIES}:empty"}, "is empty; give at least one sample"),
    "failing first": (
        {"path": f"{FACTORIES}:fails_at", "options": {"index": 0}},
        r"item 0 of .* \(OSError: unreadable",
    ),
    "failing last": (
        {"path": f"{FACTORIES}:fails_at", "options": {"index": 39}},
        r"item 39 of .* \(OSError: unreadable",
    ),
    "odd shape": ({"path": f"{FACTORIES}:odd_shape"}, r"sample of item 2 is float64 \(4,\), that of item 0"),
    "odd type": ({"path": f"{FACTORIES}:odd_type"}, "sample of item 1 is float32"),
    "odd target": ({"path": f"{FACTORIES}:odd_target"}, "target of item 1 is float64"),
    "triples": ({"path": f"{FACTORIES}:triples"}, "item 0 of .* is a tuple, not .sample, target.; return a pair"),
    "words": ({"path": f"{FACTORIES}:words"}, "y has elements of type <U3"),
    "numbers": ({"path": f"{FACTORIES}:single_numbers"}, r"x must be \(N, …\)"),
    "brain floats": ({"path": f"{FACTORIES}:brain_floats"}, "item 0 of .* cannot be made arrays"),
    "deep pictures": ({"path": f"{FACTORIES}:deep_pictures"}, "more than eight bits a channel"),
}


def stored(tmp_path, **options):
    load_source(**idx_files(tmp_path), source="idx", into=tmp_path / "s.arrow", **options)
    return {"path": tmp_path / "s.arrow"}


def changed(tmp_path):
    options = stored(tmp_path)
    data = options["path"].read_bytes()
    options["path"].write_bytes(data.replace(X[3].tobytes(), X[4].tobytes()))
    return options


def bare(tmp_path):
    return {"path": BlockStore.from_arrays(X, Y).write(tmp_path / "s.arrow").path}


STORE = {
    "no path": (lambda p: {}, "needs data.path, a file written by distlandscape data import"),
    "no file": (lambda p: {"path": p / "absent"}, "absent does not exist"),
    "text": (lambda p: content(p, b"text"), "is not a block store"),
    "changed": (changed, "is damaged: its samples do not have the digest it names; import the data again"),
    "test of a train split": (lambda p: {**stored(p), "split": "test"}, "import one with data.split=test"),
    "test of arrays": (lambda p: {**bare(p), "split": "test"}, "import one with data.split=test"),
    "other scaling": (lambda p: {**stored(p), "scaling": "none"}, "imported with data.scaling=unit, not none"),
    "unit of none": (lambda p: {**bare(p), "scaling": "unit"}, "imported with data.scaling=none, not unit"),
    "unit of standard": (lambda p: {**stored(p, scaling="standard"), "scaling": "unit"}, "scaling=standard, not unit"),
    "too many": (lambda p: {**stored(p), "samples": 31}, "the source holds 30"),
}

ALL = [
    *(("idx", build, message, name) for name, (build, message) in IDX.items()),
    *((source, build, message, name) for name, (source, build, message) in CIFAR.items()),
    *(("image_folder", build, message, name) for name, (build, message) in FOLDERS.items()),
    *(("parquet", build, message, name) for name, (build, message) in PARQUET.items()),
    *(("torch", lambda _, o=options: dict(o), message, name) for name, (options, message) in TORCH.items()),
    *(("store", build, message, name) for name, (build, message) in STORE.items()),
]


@pytest.mark.parametrize(("source", "build", "message"), [pytest.param(*c[:3], id=f"{c[0]}-{c[3]}") for c in ALL])
def test_one_sentence(source, build, message, tmp_path):
    options = build(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(InputError, match=message) as caught:
        load_source(source, **options)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 600
    assert sorted(tmp_path.rglob("*")) == before


def test_fashion_mnist_is_looked_for_where_debian_puts_it(tmp_path, monkeypatch):
    monkeypatch.setattr(idx, "FASHION_MNIST", tmp_path / "absent")
    with pytest.raises(InputError, match="install Debian's package dataset-fashion-mnist, or give its folder"):
        load_source("fashion_mnist")
    folder = make.idx_folder(tmp_path / "eleven", X, np.arange(30) % 11)
    with pytest.raises(InputError, match=r"labels up to 10, Fashion-MNIST has 0…9; use data\.source=idx"):
        load_source("fashion_mnist", str(folder))
    monkeypatch.setattr(idx, "FASHION_MNIST", make.idx_folder(tmp_path / "ten", X, Y))
    assert load_source("fashion_mnist").samples == 30


def test_a_gzip_bomb_costs_no_memory(tmp_path):
    """200 MB of zeros behind ten images, and labels likewise."""
    zeros = bytes(200 * 2**20)
    for name in ("images", "labels"):
        (tmp_path / name).mkdir()
        options = idx_files(
            tmp_path / name,
            gzip.compress(GOOD_IMAGES + zeros, 1) if name == "images" else None,
            gzip.compress(GOOD_LABELS + zeros, 1) if name == "labels" else None,
            compress=True,
        )
        tracemalloc.start()
        with pytest.raises(InputError, match="holds more than its header says"):
            load_source("idx", **options)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 5 * 2**20


def test_a_failed_import_leaves_the_old_store(tmp_path):
    path = stored(tmp_path)["path"]
    before = path.read_bytes()
    (tmp_path / "idx" / IMAGES).write_bytes(GOOD_IMAGES[:-1])
    with pytest.raises(InputError, match="truncated"):
        load_source("idx", tmp_path / "idx", into=path)
    assert path.read_bytes() == before


def test_an_interrupted_import_leaves_nothing(tmp_path):
    def interrupt(text):
        if text.startswith("writing block 2"):
            raise KeyboardInterrupt

    folder = make.idx_folder(tmp_path / "idx", *make.arrays(64))
    with pytest.raises(KeyboardInterrupt):
        load_source("idx", folder, into=tmp_path / "out" / "s.arrow", progress=interrupt)
    assert list((tmp_path / "out").iterdir()) == []


def test_a_full_disk_is_said(tmp_path, monkeypatch):
    """The temporary file of a large set."""

    def full(**_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("distlandscape.data.gather.IN_MEMORY", 0)
    monkeypatch.setattr("distlandscape.data.gather.tempfile.TemporaryFile", full)
    with pytest.raises(InputError, match=r"cannot be kept in .*out \(No space left on device\); make room there"):
        load_source("idx", **idx_files(tmp_path), into=tmp_path / "out" / "s.arrow")


def test_a_folder_that_vanishes_is_said(tmp_path):
    options = pictures(tmp_path)

    def vanish(_):
        shutil.rmtree(tmp_path / "f")

    with pytest.raises(InputError, match="is no PNG or JPEG image that can be read"):
        load_source("image_folder", **options, scaling="standard", progress=vanish)
