"""``python -m tests.processors``: tests of the numerics under the kernels that other processors would run.

Each library is asked for them by an environment variable of its own; what every one of them then runs is asked of it,
in a process like that of the tests. A setting that is not followed, or that changes nothing, is left out and named.

``--short`` runs two settings, the oldest kernels and those of AVX2 in all libraries at once, on a part of the tests.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
STUDY = "tests/studies/test_spectrum_study.py::test_eigenvalues_agree_with_the_dense_hessian"
WHOLE = ["tests/spectral", "tests/theory", "tests/curvature", STUDY]
PART = [
    *(f"tests/spectral/test_{name}.py" for name in ("eigenpairs", "lockstep", "spaces", "subspace", "trace", "xtrace")),
    *(f"tests/theory/test_{name}.py" for name in ("fit", "softmax")),
    *("tests/curvature/test_dense_oracle.py", "tests/curvature/test_kernels.py"),
    STUDY,
]
# What a library says of itself where it follows a value; by default the value.
NAMES = {
    # OpenBLAS calls one set of kernels by the name of the oldest processor it serves.
    ("OPENBLAS_CORETYPE", "Prescott"): {"Prescott", "Katmai", "Coppermine", "Northwood"},
    ("ONEDNN_MAX_CPU_ISA", "SSE41"): {"Intel SSE4.1"},
    ("ONEDNN_MAX_CPU_ISA", "AVX2"): {"Intel AVX2"},
}
VARIABLES = ("MKL_CBWR", "OPENBLAS_CORETYPE", "ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA")
SETTINGS = [
    *({"MKL_CBWR": name} for name in ("COMPATIBLE", "AVX2")),
    *({"OPENBLAS_CORETYPE": name} for name in ("Prescott", "Haswell", "SkylakeX", "Zen")),
    *({"ATEN_CPU_CAPABILITY": name} for name in ("default", "avx2")),
    *({"ONEDNN_MAX_CPU_ISA": name} for name in ("SSE41", "AVX2")),
]
SHORT = [
    dict(zip(VARIABLES, values, strict=True))
    for values in (("COMPATIBLE", "Prescott", "default", "SSE41"), ("AVX2", "Haswell", "avx2", "AVX2"))
]
PROBE = """
import json, numpy, scipy.linalg, threadpoolctl, torch
kernels = {pool["architecture"] for pool in threadpoolctl.threadpool_info() if pool["internal_api"] == "openblas"}
torch.ones(64, 64) @ torch.ones(64, 64)
torch.nn.Conv2d(3, 8, 3)(torch.ones(2, 3, 16, 16))
print(json.dumps([" and ".join(sorted(kernels)), torch.backends.cpu.get_cpu_capability().lower()]))
"""


@dataclass
class Row:
    """A line of the table."""

    name: str
    verdict: str
    seconds: float = 0.0
    words: str = ""


def environment(setting: Mapping[str, str]) -> dict[str, str]:
    """That of this process, with none of the variables but those of the setting; one thread a process."""
    kept = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    return {**kept, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", **setting}


def followed(setting: Mapping[str, str]) -> dict[str, str] | None:
    """What each library says it runs, by its variable, empty where it is not there; None: the process died."""
    verbose = {"MKL_VERBOSE": "1", "ONEDNN_VERBOSE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", PROBE], env=environment(setting) | verbose, cwd=ROOT, capture_output=True, text=True
    )
    if done.returncode:
        return None
    mkl = re.search(r"\bCNR:(\w+)", done.stdout)
    onednn = re.search(r"info,cpu,isa:(.*)", done.stdout)
    openblas, aten = json.loads(done.stdout.splitlines()[-1])
    return dict(zip(VARIABLES, (mkl[1] if mkl else "", openblas, aten, onednn[1] if onednn else ""), strict=True))


def named(setting: Mapping[str, str]) -> str:
    """As one would type it."""
    return " ".join(f"{name}={value}" for name, value in setting.items()) or "as it is"


def usable(setting: dict[str, str], plain: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """The part of a setting that is followed and differs from ``plain``, and a few words for each of the rest."""
    found = followed(setting)
    if found is None:
        return {}, [f"{named(setting)}: this processor cannot run it"]
    part, words = {}, []
    for name, value in setting.items():
        if found[name] not in NAMES.get((name, value), {value}):
            words.append(f"{name}={value} is ignored: {found[name] or 'the library is not there'} runs instead")
        elif found[name] == plain[name]:
            words.append(f"{name}={value} is what runs as it is")
        else:
            part[name] = value
    return part, words


def test(setting: Mapping[str, str], paths: list[str]) -> tuple[bool, float]:
    """Run the tests under it."""
    start = time.monotonic()
    pytest = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-n", "2", "--dist", "loadgroup"]
    done = subprocess.run([*pytest, "-m", "not ray", *paths], env=environment(setting), cwd=ROOT)
    return done.returncode == 0, time.monotonic() - start


def rows(settings: list[dict[str, str]], paths: list[str]) -> list[Row]:
    """One for every setting, in order."""
    plain = followed({})
    assert plain is not None, "the libraries do not even start without any setting"
    print("as it is:", "; ".join(f"{name}: {value or 'not there'}" for name, value in plain.items()), flush=True)
    table = []
    for setting in settings:
        part, words = usable(setting, plain)
        if setting and not part:
            table.append(Row(named(setting), "left out", words="; ".join(words)))
            continue
        print(f"==> {named(part)}", flush=True)
        good, seconds = test(part, paths)
        table.append(Row(named(part), "passed" if good else "FAILED", seconds, "; ".join(words)))
    return table


def main() -> int:
    """Print the table; 1 where a test failed, or where none ran."""
    parser = argparse.ArgumentParser(prog="python -m tests.processors", description=__doc__)
    parser.add_argument("--short", action="store_true", help="two settings on a part of the tests, under 3 minutes")
    parser.add_argument("--only", default="", help="the settings whose name holds this text")
    options = parser.parse_args()
    settings, paths = (SHORT, PART) if options.short else ([{}, *SETTINGS], WHOLE)
    chosen = [setting for setting in settings if options.only in named(setting)]
    if not chosen:
        print(f"--only {options.only}: no setting holds this text; there are: {', '.join(map(named, settings))}")
        return 1
    table = rows(chosen, paths)
    print()
    for row in table:
        print(f"{row.verdict:<9}{row.seconds:6.0f} s  {row.name}" + (f"  ({row.words})" if row.words else ""))
    passed = any(row.verdict == "passed" for row in table)
    if not passed:
        print("nothing passed: this says nothing of other processors")
    return int(not passed or any(row.verdict == "FAILED" for row in table))


if __name__ == "__main__":
    sys.exit(main())
