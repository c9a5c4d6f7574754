"""Reports for tests that look at pages alone."""

from __future__ import annotations

import pytest


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures are put together but not drawn, which takes most of a report's time; other tests draw each of them."""
    monkeypatch.setattr("distlandscape.report.png._png", lambda figure: b"")
