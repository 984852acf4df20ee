"""MkDocs hooks: reference pages come from the code, links out of docs/ lead to the sources, and pages load nothing.

In docs/ a link such as `../runtime/manifest.py` works where the repository is read. The site holds no sources: there it
leads to the repository where GitHub builds the site, and is words elsewhere.
"""

import os
import re
from pathlib import Path
from typing import Any

from mkdocs.exceptions import PluginError
from reference import GENERATED

ROOT = Path(__file__).resolve().parents[2]


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """The page with its generated part in place, and with links that work on the site."""
    source = Path(page.file.abs_src_path)
    return re.sub(
        r"\[([^][]*)\]\(([^)\s#]+)(#[^)\s]*)?\)", lambda link: _on_site(link, source), _filled(markdown, source)
    )


def _filled(markdown: str, source: Path) -> str:
    """Whole lines are replaced: what else stands in them is for those who read the repository."""

    def generated(line: re.Match[str]) -> str:
        if line[1] not in GENERATED:
            raise PluginError(f"{source}: there is no {line[1]!r} to generate. Expected one of {', '.join(GENERATED)}")
        return GENERATED[line[1]]()

    markdown = re.sub(r"^.*<!-- not on the site -->$", "", markdown, flags=re.MULTILINE)
    return re.sub(r"^.*<!-- generated: (.*?) -->$", generated, markdown, flags=re.MULTILINE)


def _on_site(link: re.Match[str], source: Path) -> str:
    words, target = link[1], link[2]
    file = (source.parent / target).resolve()
    if re.match(r"[a-z]+:", target) or file.is_relative_to(ROOT / "docs"):
        return link[0]
    if not file.is_relative_to(ROOT) or not file.exists():
        raise PluginError(f"{source}: {link[0]} leads nowhere")
    given = os.environ
    if "GITHUB_REPOSITORY" not in given:
        return words
    home = f"{given['GITHUB_SERVER_URL']}/{given['GITHUB_REPOSITORY']}/blob/{given['GITHUB_SHA']}"
    return f"[{words}]({home}/{file.relative_to(ROOT).as_posix()})"


def on_post_page(output: str, page: Any, **_: Any) -> str:
    """The same. A page that would load something from elsewhere is an error: it is read in hospitals, offline."""
    loaded = re.findall(
        r"<(?:script|link|img|iframe|source|video)\b[^>]*\b(?:src|href)=\"(?:https?:)?//[^\"]*\"", output
    )
    if loaded:
        raise PluginError(f"{page.file.src_uri} loads from elsewhere: {', '.join(loaded)}")
    return output
