"""What axe finds on a page, and what is too small to be hit: for all tests that look at pages in a browser."""

from __future__ import annotations

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

_AXE = Axe()
_LAW = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
_ASKED = {
    # Half of the time goes into what nobody reads: lists of all that was found in order, and fetching each style sheet
    # and each film again, for two rules of which the one is not asked for and the other is about films.
    "resultTypes": ["violations"],
    "preload": False,
}

SMALL_TARGETS = """
() => [...document.querySelectorAll('a, button, input:not([type=hidden], .heard), select, summary')]
  .filter(e => e.checkVisibility() && !e.matches('.skip') && !e.closest('p, dd, th'))
  .map(e => [e.textContent.trim() || e.name, e.getBoundingClientRect()])
  .filter(([_, box]) => box.width && (box.width < 24 || box.height < 24))
  .map(([name, box]) => `${name}: ${box.width} × ${box.height}`)
"""
"""Script: the targets of the console's page that are smaller than 24 × 24 pixels (WCAG 2.2, 2.5.8)."""


def violations(page: Page, *, good_practice: bool = True) -> str:
    """What axe has against the page as it stands, in words: WCAG 2.2 A and AA, and good practice. Empty: nothing."""
    rules = [*_LAW, "best-practice"] if good_practice else _LAW
    found = _AXE.run(page, options={"runOnly": rules, **_ASKED})
    return found.generate_report() if found.violations_count else ""
