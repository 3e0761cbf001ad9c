# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""What `mkdocs` does beside its usual work: pages from outside of `docs/`, and links that also work on GitHub."""

import logging
import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page


ROOT = Path(__file__).parents[1]
# File or folder of the repository -> page of the site.
OUTSIDE = {
    "README.md": "index.md",
    "pipelines": "recipes.md",
    "training_scripts/README.md": "training.md",
    "CONTRIBUTING.md": "contributing.md",
    "RELEASING.md": "releasing.md",
    "CHANGELOG.md": "changes.md",
}
_LINK = re.compile(r"(\]\()([^)#\s]+)(?=[)#])")

# The public list of the package is made of the registry's table, which a reader of the source alone cannot know.
logging.getLogger("mkdocs.plugins.griffe").addFilter(lambda record: "MODULE_OF" not in record.getMessage())


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the pages from outside. Pages that the navigation does not name follow at the end of its guides."""
    for source, page in OUTSIDE.items():
        content = _recipes() if source == "pipelines" else (ROOT / source).read_text("utf-8")
        files.append(File.generated(config, page, content=content))
    for file in files.documentation_pages():  # Pictures and code that pages link to, from outside of `docs/`.
        for _, link in _LINK.findall(file.content_string):
            target = _target(link, file.src_uri)
            if (
                ":" not in link
                and not target.endswith(".md")
                and (ROOT / target).is_file()
                and target not in files.src_uris
            ):
                files.append(File.generated(config, target, abs_src_path=str(ROOT / target)))
    (guides,) = (section["Guides"] for section in config.nav or () if "Guides" in section)
    guides += [file.src_uri for file in files.documentation_pages() if file.src_uri not in str(config.nav)]
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turns links between files of the repository into links between pages."""

    def to_page(match: re.Match) -> str:
        if ":" in match[2]:
            return match[0]
        target = _target(match[2], page.file.src_uri)
        return match[1] + posixpath.relpath(target, posixpath.dirname(page.file.src_uri) or ".")

    return _LINK.sub(to_page, markdown)


def _target(link: str, page: str) -> str:
    """Where a relative link of a page leads: the name of a page or file of the site."""
    source_of = {page: source for source, page in OUTSIDE.items()}
    folder = posixpath.dirname(source_of.get(page, f"docs/{page}"))
    target = posixpath.normpath(posixpath.join(folder, link))
    return OUTSIDE.get(target, target.removeprefix("docs/"))


def _recipes() -> str:
    """The notes and the settings of all recipes."""
    parts = ["# Recipes", "The notes and the training settings of each recipe, as they are in its folder."]
    for file in sorted((ROOT / "pipelines").glob("*/training.yaml")):
        notes = re.sub("^## (.+)$", r"**\1**", (file.parent / "notes.md").read_text("utf-8"), flags=re.MULTILINE)
        parts += [f"## {file.parent.name}", notes, f"```yaml\n{file.read_text('utf-8')}```"]
    return "\n\n".join(parts) + "\n"
