# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""A step of the build, named in setup.cfg: puts the recipes of the top-level folder `pipelines` into the package."""

from pathlib import Path

from setuptools.command.build_py import build_py


_PATTERNS = ("*/*/*.json", "*/training.yaml", "*/notes.md")


class BuildWithRecipes(build_py):
    """Copies `pipelines/` to `gan_diffusion/_recipes/`. An editable install reads the recipes where they are."""

    def _recipes(self) -> dict[str, str]:
        """Target in the build folder -> source file."""
        target = Path(self.build_lib, "gan_diffusion", "_recipes")
        source = Path("pipelines")
        recipe_files = [file for pattern in _PATTERNS for file in source.glob(pattern)]
        return {str(target / file.relative_to(source)): str(file) for file in recipe_files}

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            for target, source in self._recipes().items():
                self.mkpath(str(Path(target).parent))
                self.copy_file(source, target)

    def get_output_mapping(self) -> dict[str, str]:
        return {**super().get_output_mapping(), **self._recipes()}
