"""What users lean on does not change by accident: exported names, signatures, and the help of every command.

After a change on purpose: ``DISTLANDSCAPE_UPDATE_HELP=1 python -m pytest tests/test_public_surface.py`` writes
tests/cli/help.txt anew; read its diff.
"""

from __future__ import annotations

import argparse
import inspect
import os
import subprocess
import sys
from pathlib import Path

import pytest

import distlandscape as dl
from distlandscape.cli.main import build_parser
from distlandscape.config import RunConfig, keys_of

HELP = Path(__file__).parent / "cli" / "help.txt"

NAMES = [
    "Fisher",
    "GaussNewton",
    "Hessian",
    "InputError",
    "Objective",
    "Pool",
    "Residual",
    "data",
    "frobenius_norm",
    "gradient",
    "index",
    "models",
    "open_run",
    "overlap",
    "run_study",
    "spectral_density",
    "theory",
    "top_eigenpairs",
    "trace",
]


def test_exported_names():
    assert sorted(dl.__all__) == dl.__all__ == NAMES
    assert set(NAMES) <= set(dir(dl))
    for name in NAMES:
        assert getattr(dl, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'fisher_information'"):
        dl.fisher_information  # noqa: B018


@pytest.mark.parametrize(
    ("function", "names"),
    [
        (dl.Objective, "model data loss parameters norm dtype"),
        (dl.Residual, "objective pool"),
        (dl.Fisher, "objective pool labels"),
        (dl.Hessian, "objective pool"),
        (dl.GaussNewton, "objective pool"),
        (dl.Pool, "workers cpus_per_worker gpus_per_worker threads transport micro_batch plan on_event"),
        (dl.top_eigenpairs, "H k tol which max_steps"),
        (dl.gradient, "objective pool"),
        (dl.spectral_density, "H draws steps seed"),
        (dl.overlap, "V W"),
        (dl.trace, "H probes seed method known"),
        (dl.index, "density below level"),
        (dl.open_run, "path"),
        (dl.run_study, "study config out"),
        (dl.data.load_source, "source path samples classes seed blocks"),
        (dl.models.build_model, "name input_shape outputs options seed"),
    ],
)
def test_arguments_of_public_functions(function, names):
    """These, in this order; more may follow."""
    found = list(inspect.signature(function).parameters)
    expected = names.split()
    assert found[: len(expected)] == expected


@pytest.mark.parametrize("name", NAMES)
def test_public_names_are_documented(name):
    assert inspect.getdoc(getattr(dl, name)).strip()


def test_importing_the_package_or_the_command_line_is_light():
    """Help and bad usage should not wait for torch, ray or mlflow."""
    program = "import sys, distlandscape; assert 'torch' not in sys.modules; import distlandscape.config"
    program += "; sys.exit(sorted({'torch', 'ray', 'mlflow', 'sklearn', 'scipy'} & set(sys.modules)) or 0)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def commands(parser):
    (group,) = (a for a in parser._actions if isinstance(a, argparse._SubParsersAction))
    return group.choices


def all_help():
    parser = build_parser()
    texts = {"distlandscape": parser, **{f"distlandscape {n}": p for n, p in commands(parser).items()}}
    texts |= {f"distlandscape data {n}": p for n, p in commands(commands(parser)["data"]).items()}
    return "\n".join(f"$ {name} --help\n\n{p.format_help()}" for name, p in texts.items())


def test_help_of_every_command(monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("NO_COLOR", "1")
    text = all_help()
    if os.environ.get("DISTLANDSCAPE_UPDATE_HELP"):
        HELP.write_text(text, encoding="utf-8")
    assert text == HELP.read_text(encoding="utf-8"), "the command line changed; see the top of this file"


def test_every_command_and_option_has_a_help_text():
    for name, parser in commands(build_parser()).items():
        assert parser.description, name
        for action in parser._actions:
            assert action.help, (name, action.dest)


def test_help_names_every_key_of_the_configuration_but_those_of_sets():
    text = all_help()
    keys = [key.name for section in RunConfig.model_fields for key in keys_of(section)]
    assert len(keys) > 100
    assert [key for key in keys if f"  {key} (" not in text] == []
