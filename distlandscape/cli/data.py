"""``distlandscape data``: import a source into a block store file, and look at one."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from distlandscape.cli.key_help import HelpWithKeys, told_keys
from distlandscape.cli.study import add_config_options, add_json_option, print_json
from distlandscape.config import load_config
from distlandscape.errors import InputError

if TYPE_CHECKING:
    from distlandscape.data import BlockStore


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command and its two parts."""
    parser = subparsers.add_parser(
        "data",
        help="import data into a block store file, or look at one",
        description="Import data once into a block store file that studies map into memory, or look at such a file.",
    )
    parts = parser.add_subparsers(dest="part", required=True, metavar="COMMAND", help="import or show")
    importing = parts.add_parser(
        "import",
        help="write the samples that data.* of a configuration names to a block store file",
        description="Write the samples that data.* of a configuration names, permuted and cut, to a block store file.",
        formatter_class=HelpWithKeys,
        epilog=told_keys(["data"], rest=False),
    )
    add_config_options(importing)
    importing.add_argument(
        "--out", metavar="FILE", required=True, help="file to write; a block store there before is replaced"
    )
    add_json_option(importing)
    importing.set_defaults(run=run_import)
    showing = parts.add_parser(
        "show",
        help="say what a block store file holds, and whether it is undamaged",
        description="Say what a block store file holds, and compare every byte of its samples with its digest.",
    )
    showing.add_argument("file", metavar="FILE", help="block store file")
    add_json_option(showing)
    showing.set_defaults(run=run_show)


def run_import(args: argparse.Namespace) -> int:
    """Import, and print what the file holds.

    Raises:
        InputError: see ``load_source``, or something else is where the file should be.
    """
    config = load_config(args.config, args.assignments)
    from distlandscape.data import BlockStore
    from distlandscape.studies.context import load_data
    from distlandscape.studies.progress import Progress

    out = Path(args.out)
    if out.exists():
        try:
            BlockStore.open(out)
        except InputError:
            raise InputError(f"{out} exists and is no block store; remove it or give another --out") from None
    with Progress() as progress:
        store = load_data(config, config.data.split, config.data.samples, out, progress.update)
    _print(store, args)
    return 0


def run_show(args: argparse.Namespace) -> int:
    """Print what the file holds.

    Raises:
        InputError: no block store, or a damaged one.
    """
    from distlandscape.data import BlockStore

    store = BlockStore.open(args.file)
    if not store.intact():
        raise InputError(f"{args.file} is damaged: its samples do not have the digest it names; import the data again")
    _print(store, args)
    return 0


def _print(store: BlockStore, args: argparse.Namespace) -> None:
    facts = _facts(store)
    if args.json:
        print_json(facts, args)
        return
    classes = f"{facts['classes']} classes" if facts["classes"] is not None else "real-valued targets"
    lines = {
        "what": facts["description"],
        "samples": f"{facts['samples']:,} of shape {facts['shape']}, {facts['dtype']}, {classes}",
        "blocks": facts["blocks"],
        "split": facts["split"] or "not named",
        "scaling": "none" if store.scaling is None else store.scaling.words,
        "digest": facts["digest"],
        "size": f"{facts['bytes'] / 1e6:,.1f} MB",
        "file": facts["path"],
        "use it with": facts["use"],
    }
    for name, value in lines.items():
        print(f"{name + ':':<13} {value}", file=args.stdout, flush=True)


def _facts(store: BlockStore) -> dict[str, Any]:
    import numpy as np

    assert store.path is not None, "it was opened from a file"
    x, y = store.block(0)
    labels = None
    if y.ndim == 1 and y.dtype.kind == "i":
        labels = len(np.unique(np.concatenate([np.unique(store.block(i)[1]) for i in range(store.blocks)])))
    return {
        "description": store.description,
        "samples": store.samples,
        "shape": list(x.shape[1:]),
        "dtype": str(x.dtype),
        "classes": labels,
        "blocks": store.blocks,
        "split": store.split,
        "scaling": None if store.scaling is None else store.scaling.header(),
        "digest": store.digest,
        "bytes": store.path.stat().st_size,
        "path": str(store.path),
        "use": f"--set data.source=store --set {shlex.quote(f'data.path={store.path}')}",
    }
