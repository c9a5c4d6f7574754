"""The PNG images of what is under way."""

from __future__ import annotations

import io

import matplotlib.image
import pytest

from distlandscape.report.live.images import images_so_far
from tests.report.live.conftest import CutOff

pytestmark = pytest.mark.xdist_group("live")


@pytest.mark.parametrize(
    ("stage", "names"), [("gradient-001", []), ("eigenpairs-001", ["ritz"]), ("density", ["density"])]
)
def test_each_stage_has_its_own(cut_off: CutOff, stage: str, names: list[str]) -> None:
    kind = "begun" if stage.startswith("gradient") else "steps"
    run = cut_off(lambda event: event["event"] == kind and stage in (event.get("stage"), event.get("name")))
    images = images_so_far(run.path)
    assert sorted(images) == names
    for image in images.values():
        assert matplotlib.image.imread(io.BytesIO(image))[..., :3].std() > 0.05
