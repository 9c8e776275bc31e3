"""A run and its drawn figures -> one self-contained HTML page.

Figures are embedded as SVG, or as PNG where an SVG grows beyond 400 kB. Every text that a person wrote is escaped.
"""

import json
import platform
import re
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup, escape

from observer.runs import Run
from reports import sections, sentences
from reports.figures.catalogue import Picture
from reports.quantities import MISSING, exact, number_text
from reports.style import encode
from systems.base.records import to_plain
from systems.base.wording import harmless

_LARGEST_SVG = 400_000
_PACKAGES = ("ren-observer", "numpy", "scipy", "casadi", "torch", "matplotlib")


@dataclass(frozen=True)
class EmbeddedPicture:
    """A picture as a data address, with its files; ``width`` and ``height`` in CSS pixels."""

    name: str
    title: str
    reading: str
    alt: str
    wide: bool
    width: int
    height: int
    data: str
    files: dict[str, bytes]


def embed(picture: Picture) -> EmbeddedPicture:
    """Render a picture: PDF and PNG for its files, SVG (or the PNG, where smaller is wiser) for the page."""
    files = {f"{picture.name}.{suffix}": encode(picture.figure, suffix) for suffix in ("pdf", "png")}
    content, kind = encode(picture.figure, "svg"), "image/svg+xml"
    if len(content) > _LARGEST_SVG:
        content, kind = files[f"{picture.name}.png"], "image/png"
    width, height = (round(96 * inches) for inches in picture.figure.get_size_inches())
    data = f"data:{kind};base64,{b64encode(content).decode('ascii')}"
    return EmbeddedPicture(
        picture.name, picture.title, picture.reading, picture.alt, picture.wide, width, height, data, files
    )


def metrics_text(run: Run) -> str:
    """The metrics of a run as its page holds them, escaped: what shows that a page belongs to them."""
    return str(escape(json.dumps(to_plain(run.metrics), indent=1)))


def drawn_elsewhere(page: str) -> str:
    """The versions that a page names, where they are not those that are installed here; else empty."""
    here = ", ".join(f"{name} {version}" for name, version in versions())
    found = re.search(r"<p class=\"muted\">(Python [^<]*?)\.\s", page)
    return found[1] if found and found[1] != here else ""


def report_page(run: Run, pictures: Sequence[EmbeddedPicture], command: str = "", title: str | None = None) -> str:
    """The HTML of the report of one run."""
    metrics = json.dumps(to_plain(run.metrics), indent=1) if run.metrics else ""
    return page_of(
        "report",
        title=title or f"Observer for {run.system.name}",
        description=run.system.description,
        verdict=sentences.verdict(run),
        summary=sentences.summary(run),
        tiles=sentences.key_numbers(run),
        warnings=sentences.warnings(run),
        knowledge=sentences.knowledge(run),
        pictures=pictures,
        sections=sections.sections(run),
        metrics=metrics,
        command=command,
    )


def page_of(template: str, **context: Any) -> str:
    """The HTML of one of the ``templates`` (comparison, published, estimators, experiment)."""
    return _environment().get_template(f"{template}.html").render(versions=versions(), **context)


def versions() -> list[tuple[str, str]]:
    """Python and the packages on which the numbers depend; none of them is imported."""
    found = [("Python", platform.python_version())]
    for name in _PACKAGES:
        try:
            found.append((name, version(name)))
        except PackageNotFoundError:
            continue
    return found


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_harmless,
    )
    environment.filters.update(shown=number_text, exact=exact, code=_code)
    environment.globals["missing"] = MISSING
    return environment


def _harmless(value: Any) -> Any:
    """What a template prints: of a text, all that a reader can see; markup is our own."""
    return harmless(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _code(text: str) -> Markup:
    """Escaped text in which `what stands between backticks` is set as code."""
    return Markup(re.sub(r"`([^`<>]+)`", r"<code>\1</code>", str(escape(harmless(str(text))))))
