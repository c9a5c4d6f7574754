"""README and start page run as they stand, block by block; what all pages name exists.

The blocks take minutes, so they are a step of their own: ``make test-commands``.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from distlandscape.cli.main import build_parser
from distlandscape.config import RunConfig

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(p for p in (ROOT / "docs").rglob("*.md") if "_build" not in p.parts)])
RUN = ("README.md", "docs/start.md")
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
TARGETS = set(re.findall(r"^([a-z][\w-]*):", MAKEFILE, flags=re.MULTILINE))


def blocks(page):
    """(language, text) of every fenced block that is not indented."""
    text = (ROOT / page).read_text(encoding="utf-8")
    return re.findall(r"^```(\w+)\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)


def shims(folder):
    """A ``distlandscape`` of this source tree; and a ``make`` that only asks whether the targets exist."""
    folder.mkdir()
    for name, command in (
        ("distlandscape", f'exec "{sys.executable}" -m distlandscape.cli.main "$@"'),
        ("make", f'exec /usr/bin/env -u MAKEFLAGS PATH="$MAKE_PATH" make --dry-run -C "{ROOT}" "$@" >/dev/null'),
    ):
        file = folder / name
        file.write_text(f"#!/bin/sh\n{command}\n", encoding="utf-8")
        file.chmod(0o755)
    return folder


@pytest.mark.commands
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("page", RUN)
def test_every_block_runs(page, tmp_path):
    environment = {
        **os.environ,
        "MAKE_PATH": os.environ["PATH"],
        "PATH": f"{shims(tmp_path / 'bin')}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "MPLBACKEND": "agg",
    }
    work = tmp_path / "work"
    work.mkdir()
    ran = []
    for language, text in blocks(page):
        if language == "yaml":
            name = re.match(r"# (\S+\.yaml)\n", text)
            assert name, f"a configuration of {page} does not say its file in a first line # NAME.yaml"
            (work / name[1]).write_text(text, encoding="utf-8")
            continue
        program = {"sh": ["bash", "-euo", "pipefail", "-c", text], "python": [sys.executable, "-c", text]}[language]
        done = subprocess.run(
            program, cwd=work, env=environment, capture_output=True, text=True, check=False, timeout=1500
        )
        assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"
        ran.append(language)
    assert {"sh", "python"} <= set(ran)


def test_what_the_pages_leave_to_make_is_a_step_of_the_checks():
    steps = re.findall(r"^step \S+ make (\S+)", (ROOT / ".ci" / "run").read_text(encoding="utf-8"), flags=re.MULTILINE)
    called = {
        target
        for page in RUN
        for language, text in blocks(page)
        if language == "sh"
        for target in re.findall(r"^make (\S+)", text, flags=re.MULTILINE)
    }
    assert called
    assert called <= set(steps)
    assert {"docs", "test-commands"} <= set(steps)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_commands_targets_and_keys_that_a_page_names_exist(page):
    text = page.read_text(encoding="utf-8")
    code = "\n".join(re.findall(r"`([^`\n]+)`", text) + [body for _, body in blocks(page)])
    (group,) = (a for a in build_parser()._actions if isinstance(a, argparse._SubParsersAction))
    assert set(re.findall(r"^(?:\$ )?distlandscape ([a-z][\w-]*)", code, flags=re.MULTILINE)) <= set(group.choices)
    assert set(re.findall(r"^make ([a-z][\w-]*)(?!=)", code, flags=re.MULTILINE)) <= TARGETS
    sections = "|".join(RunConfig.model_fields)
    for section, key in re.findall(rf"(?:^|--set )({sections})\.([a-z]\w*)(?:=|$)", code, flags=re.MULTILINE):
        assert key in RunConfig.model_fields[section].annotation.model_fields, f"{section}.{key}"


@pytest.mark.parametrize("page", [p for p in PAGES if p.parent == ROOT], ids=lambda p: p.name)
def test_links_of_a_page_outside_the_documentation_lead_somewhere(page):
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text(encoding="utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []
