"""Puts the files of a workspace into the wheel.

They lie at the root, since a clone is a workspace, and are written there alone; `sidmint new`
copies them from the wheel, or from the clone where sidmint is installed from one.
"""

from __future__ import annotations

from pathlib import Path
from shutil import copyfile

from setuptools import setup
from setuptools.command.build_py import build_py

_FILES = (
    "dvc.yaml",
    ".dvcignore",
    ".gitignore",
    "data/raw/.gitignore",
    "data/champion/.gitignore",
)
"""As in src/sidmint/templates.py; a test builds the wheel and holds the two against each other."""


class BuildWithTemplate(build_py):
    """As setuptools builds, and the template beside it; an editable install needs none."""

    def run(self) -> None:
        """Build, then copy the template."""
        super().run()
        if self.editable_mode:
            return
        for name in _FILES:
            target = Path(self.build_lib) / "sidmint" / "template" / name
            target.parent.mkdir(parents=True, exist_ok=True)
            copyfile(name, target)


setup(cmdclass={"build_py": BuildWithTemplate})
