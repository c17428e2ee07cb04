"""All pages of the console."""

from __future__ import annotations

from pdk_nb.console.pages import data, doctor, experiments, flow, jobs, journey, models, pipelines, services
from pdk_nb.console.pages.page import Page

__all__ = ["PAGES", "Page"]

#: All pages. Those with a ``menu`` are in the page's head, in this order.
PAGES: tuple[Page, ...] = (
    *flow.PAGES,
    *data.PAGES,
    *pipelines.PAGES,
    *jobs.PAGES,
    *experiments.PAGES,
    *models.PAGES,
    *services.PAGES,
    *doctor.PAGES,
    *journey.PAGES,
)
