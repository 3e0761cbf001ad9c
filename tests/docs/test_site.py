# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""The documentation as a site: everything is reached by clicking, and nothing comes from elsewhere."""

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest


ROOT = Path(__file__).parents[2]


class Contents(HTMLParser):
    """Links, anchors and the files that a browser loads with a page."""

    def __init__(self, page: Path):
        super().__init__()
        self.links, self.anchors, self.loaded = set(), set(), set()
        self.feed(page.read_text("utf-8"))

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.anchors.add(attrs.get("id"))
        if tag == "a" and "href" in attrs:
            self.links.add(attrs["href"])
        if "src" in attrs or (tag == "link" and attrs.get("rel") in ("stylesheet", "icon")):
            self.loaded.add(attrs.get("src") or attrs["href"])


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> dict[Path, Contents]:
    """The pages that are reached from the first one."""
    folder = tmp_path_factory.mktemp("site").resolve()
    build = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]  # --quiet hides warnings
    done = subprocess.run(build, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    pages, waiting = {}, [folder / "index.html"]
    while waiting:
        page = waiting.pop()
        if page not in pages:
            pages[page] = Contents(page)
            targets = {link.partition("#")[0] for link in pages[page].links if "://" not in link}
            waiting += [(page.parent / target).resolve() for target in targets if target.endswith(".html")]
    return pages


def test_every_page_is_reached_and_every_link_leads_somewhere(site):
    folder = min(site, key=lambda page: len(page.parts)).parent
    written = {page.relative_to(ROOT / "docs").with_suffix(".html") for page in (ROOT / "docs").rglob("*.md")}
    outside = {
        Path(f"{name}.html") for name in ("index", "training", "recipes", "contributing", "releasing", "changes")
    }
    assert {page.relative_to(folder) for page in site} == written | outside
    for page, contents in site.items():
        for link in contents.links:
            if "://" not in link:
                target, _, anchor = link.partition("#")
                file = (page.parent / target).resolve() if target else page
                assert file.exists(), f"{page.name}: {link}"
                assert not anchor or file not in site or anchor in site[file].anchors, f"{page.name}: {link}"


def test_a_page_loads_nothing_from_elsewhere(site):
    for page, contents in site.items():
        for name in contents.loaded:
            assert "//" not in name and (page.parent / name.partition("?")[0]).exists(), f"{page.name}: {name}"


def test_every_public_name_is_in_the_reference(site):
    recorded = (ROOT / "tests" / "public_signatures.txt").read_text()
    classes = set(re.findall(r"^([\w.]+): class", recorded, re.MULTILINE))
    callables = re.findall(r"^([\w.]+)\(", recorded, re.MULTILINE)
    functions = {name for name in callables if name.rpartition(".")[0] not in classes}
    described = {str(anchor).rpartition(".")[2] for page in site.values() for anchor in page.anchors}
    assert classes and functions
    assert not [name for name in classes | functions if name.rpartition(".")[2] not in described]


def test_references_in_docstrings_become_links(site):
    (pipelines,) = (contents for page, contents in site.items() if page.match("api/pipelines.html"))
    assert "schedulers.html#gan_diffusion.schedulers.DDGANScheduler" in pipelines.links
