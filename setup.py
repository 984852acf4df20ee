"""What pyproject.toml can't say of a wheel: that it holds the sources as they are, and how its page on an index reads.

The address of the sources is that of the workflow that builds the wheel; elsewhere none is known.
"""

import os
import re
import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build import build


class FreshBuild(build):
    """A build that begins with nothing: setuptools packs whatever lies in build/, and files of an earlier one stay."""

    def run(self) -> None:
        """Removes build/, then builds."""
        shutil.rmtree(self.build_base, ignore_errors=True)
        super().run()


def index_page(readme: str, sources: str | None, revision: str) -> str:
    """The README for a page on which relative links lead nowhere: they lead to the sources, or are words without them.

    `sources` is the address of the repository, as https://host/owner/name.
    """

    def absolute(found: re.Match[str]) -> str:
        picture, words, target = found.groups()
        if re.match(r"https?:|#", target):
            return found[0]
        if sources is None:
            return f"*{words}*" if picture else words
        return f"{picture}[{words}]({sources}/{'raw' if picture else 'blob'}/{revision}/{target})"

    return re.sub(r"(!?)\[([^][]*)\]\(([^)\s]+)\)", absolute, readme)


def main() -> None:
    """Hands setuptools what it needs."""
    given = os.environ
    sources = f"{given['GITHUB_SERVER_URL']}/{given['GITHUB_REPOSITORY']}" if "GITHUB_REPOSITORY" in given else None
    readme = (Path(__file__).parent / "README.md").read_text("utf-8")
    setup(
        cmdclass={"build": FreshBuild},
        long_description=index_page(readme, sources, given.get("GITHUB_SHA", "main")),
        long_description_content_type="text/markdown",
        project_urls={} if sources is None else {"Source": sources, "Changelog": f"{sources}/blob/main/CHANGELOG.md"},
    )


if __name__ == "__main__":
    main()
