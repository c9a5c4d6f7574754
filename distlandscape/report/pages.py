"""Which page belongs to which study."""

from __future__ import annotations

from distlandscape.errors import InputError
from distlandscape.report import clustering, emergence, goldilocks, hierarchy, hyperplane, spectrum, theory, train
from distlandscape.report.figure import StudyPage

PAGES = {
    "spectrum": spectrum.PAGE,
    "quickstart": spectrum.PAGE,
    "train": train.PAGE,
    "theory": theory.PAGE,
    "hyperplane": hyperplane.PAGE,
    "goldilocks": goldilocks.PAGE,
    "clustering": clustering.PAGE,
    "hierarchy": hierarchy.PAGE,
    "emergence": emergence.PAGE,
}


def study_page(study: str) -> StudyPage:
    """The page of a study.

    Raises:
        InputError: a study of another version.
    """
    if study not in PAGES:
        raise InputError(f"the run belongs to the study {study!r}, which this version does not know; use its version")
    return PAGES[study]
