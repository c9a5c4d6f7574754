"""The live page in a real browser while a run goes on."""

from __future__ import annotations

import html
import json
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from distlandscape.record.log import EventLog
from distlandscape.record.run import Run
from distlandscape.report.live import server as module
from distlandscape.report.live.server import LiveServer
from distlandscape.report.live.state import Follower
from tests.helpers import unchained
from tests.report.chromium import FLAGS, chromium
from tests.report.live.conftest import CutOff
from tests.report.reading import FITS, OUTSIDE

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("live")]

DUMP = ("--enable-logging=stderr", "--v=0", "--virtual-time-budget=15000", "--dump-dom")
HOSTILE = "<img src=x onerror=alert(1)></script><script>alert(2)</script>"


class Replay(Follower):
    """Lets a run go on by some events before every look at it."""

    def __init__(self, run: Run, events: list[dict[str, Any]]) -> None:
        super().__init__(run.path)
        self.left, self.each, self.seen = events, max(1, len(events) // 4), list[dict[str, Any]]()

    def state(self) -> dict[str, Any]:
        for event in self.left[: self.each]:
            EventLog(self.path / "log.jsonl").append(**unchained(event))
        self.left = self.left[self.each :]
        self.seen.append(super().state())
        return self.seen[-1]


@contextmanager
def served(follower: Follower) -> Iterator[LiveServer]:
    with LiveServer(follower) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def browse(address: str, profile: Path) -> tuple[str, list[str]]:
    """The document after some seconds of its own time, and what was said on the console."""
    browser = os.environ.get("CHROMIUM") or shutil.which("chromium")
    assert browser, "no Chromium: install one (Debian and Ubuntu: apt-get install chromium) or set CHROMIUM to its path"
    command = [browser, *FLAGS, *DUMP, f"--user-data-dir={profile}", address]
    done = subprocess.run(command, capture_output=True, text=True, timeout=150, check=True)
    return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]


def test_values_change_on_the_page_while_a_run_goes_on(
    whole_run: Run, cut_off: CutOff, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FRESH_SECONDS", -1.0)
    run = cut_off(lambda event: event["event"] == "steps" and event["stage"] == "eigenpairs-001")
    run.log.append("fault", text=HOSTILE)
    whole = [event for event in whole_run.log.events() if event["event"] in ("steps", "begun", "stage")]
    coming = [event for event in whole if event.get("stage", event.get("name")) == "eigenpairs-001"][2:-1]
    replay = Replay(run, coming)
    with run.lease(), served(replay) as server:
        document, console = browse(server.url, tmp_path / "profile")
    assert console == []
    assert len(replay.seen) >= 3
    first, last = replay.seen[0], replay.seen[-1]
    values = [html.escape(row[1]) for end in last["pairs"] for row in end["rows"]]
    assert values != [html.escape(row[1]) for end in first["pairs"] for row in end["rows"]]
    assert all(f"<td>{value}</td>" in document for value in values)
    assert html.escape(last["headline"]) in document
    for figure in last["figures"]:
        start = document.index(f'<figure id="{figure["name"]}">')
        part = document[start : document.index("</figure>", start)]
        assert 'class="main-svg"' in part, f"{figure['name']} was not drawn"
        assert "scatterlayer" in part, f"{figure['name']} has no curves"
    assert "<img src=x" not in document
    assert "&lt;img src=x onerror=alert(1)&gt;&lt;/script&gt;" in document
    assert '<div class="notice" id="silence" role="alert" hidden="">' in document


@pytest.mark.parametrize(("width", "dark"), [(390, True), (1280, False)])
def test_the_live_page_fits_a_phone_and_a_desk_while_its_values_change(
    whole_run: Run, cut_off: CutOff, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, width: int, dark: bool
) -> None:
    monkeypatch.setattr(module, "FRESH_SECONDS", -1.0)
    run = cut_off(lambda event: event["event"] == "steps" and event["stage"] == "eigenpairs-001")
    coming = [e for e in whole_run.log.events() if e["event"] == "steps" and e["stage"] == "eigenpairs-001"][1:]
    with (
        run.lease(),
        served(Replay(run, coming)) as server,
        chromium(tmp_path / "profile") as browser,
        browser.tab(width=width, height=844, dark=dark, phone=width < 500) as tab,
    ):
        tab.visit(server.url)
        tab.until("!!document.querySelector('#pairs td') && !!document.querySelector('figure .main-svg .trace')")
        before = tab.evaluate("document.getElementById('pairs').textContent")
        assert (tab.evaluate(FITS), tab.evaluate(OUTSIDE)) == (True, [])
        tab.until(f"document.getElementById('pairs').textContent !== {json.dumps(before)}")
        assert (tab.evaluate(FITS), tab.evaluate(OUTSIDE)) == (True, [])
        assert tab.complaints() == []


def test_a_run_that_ended_leads_to_its_final_page(whole_run: Run, tmp_path: Path) -> None:
    with served(Follower(whole_run.path)) as server:
        document, console = browse(server.url, tmp_path / "profile")
        assert console == []
        assert '<div class="notice ended" id="ended">' in document
        report, console = browse(server.url.replace("/?", "/report?"), tmp_path / "profile")
    assert console == []
    assert 'class="live"' in report, "the final page drew no figure"


def test_a_server_that_ended_is_said(whole_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Follower, "state", lambda self: 1 / 0)
    with served(Follower(whole_run.path)) as server:
        document, console = browse(server.url, tmp_path / "profile")
    assert "the run directory could not be read: ZeroDivisionError" in document
    assert all("503" in line for line in console)
