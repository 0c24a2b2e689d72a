"""A real Chromium, driven by Playwright."""

from __future__ import annotations

import contextlib
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from playwright.sync_api import Browser, Page, expect, sync_playwright

from .hub import PROJECT

SCREENSHOTS = PROJECT / "build" / "screenshots"
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-default-apps",
    "--no-proxy-server",
    "--disable-dev-shm-usage",
    "--disable-features=OptimizationHints,MediaRouter",
]


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """For one test only: an open Playwright occupies the thread's event loop."""
    names = ("chromium", "chromium-browser", "google-chrome")
    path = next(filter(None, map(shutil.which, names)), None)
    assert path, "no chromium: scripts/system_packages.sh chromium"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, headless=True, args=ARGUMENTS)
        try:
            yield browser
        finally:
            browser.close()


def screenshot(page: Page, name: str) -> Path:
    """Into build/screenshots/NAME.png."""
    assert re.fullmatch(r"[a-z0-9-]+", name), name
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    path = SCREENSHOTS / f"{name}.png"
    page.screenshot(path=path)
    return path


def login(page: Page, url: str, user: str, password: str = "any") -> None:
    page.goto(f"{url}/hub/login")
    page.fill("#username_input", user)
    page.fill("#password_input", password)
    page.click("#login_submit")


def run_cell(page: Page, code: str, *, timeout: float = 60_000) -> str:
    """In a JupyterLab that is loading: a new notebook, one cell; its output."""
    panel = ".jp-NotebookPanel:not(.lm-mod-hidden)"
    page.wait_for_selector("#jupyterlab-splash", state="detached", timeout=timeout)
    card = page.locator('.jp-LauncherCard[data-category="Notebook"]').first
    card.wait_for(timeout=timeout)
    card.dispatch_event("click")
    # The notebook's own indicator says idle before the kernel is connected; this one does not.
    page.wait_for_selector("#jp-main-statusbar >> text=/Python 3 .*\\| Idle/", timeout=timeout)
    cell = page.locator(f"{panel} .jp-CodeCell .cm-content").first
    cell.fill(code)
    expect(cell).to_have_text(code)
    cell.press("Control+Enter")
    output = page.locator(f"{panel} .jp-OutputArea-output").first
    output.wait_for(timeout=timeout)
    return output.inner_text().strip()
