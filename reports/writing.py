"""Reports on disk: everything is drawn and written out in memory first, and only then put in place, file by file."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from observer.runs import Run
from observer.storage import write_bytes, write_text
from reports.figures.catalogue import ALL_FIGURES, Picture, pictures
from reports.page import EmbeddedPicture, embed, page_of, report_page
from reports.quantities import times_in
from systems.base.output_places import refuse_links

if TYPE_CHECKING:
    from reports.comparison import Variant
    from reports.figures.comparison import Curve
    from reports.tables import Table

PAGE, FIGURES, COMPARISON = "report.html", "figures", "comparison"


def write_report(run: Run, *, command: str = "", title: str | None = None) -> Path:
    """Write ``report.html`` and ``figures/*.pdf, *.png`` of a run into its folder.

    The same run gives the same bytes: no date is written. Should a figure fail, nothing is written at all.

    Parameters
    ----------
    run
        A run folder as :func:`observer.load_run` gives it, or ``Run(folder, plant, fit=..., certificate=..., validation=...)``
        from results at hand. A part that is None is shown as not computed yet, with the command that computes it.
    command
        The command line that makes the report again; that of ``run.metrics`` when left out.
    title
        "Observer for NAME" when left out.

    Returns
    -------
    Path
        The page.
    """
    page, embedded = _drawn(run, command, title)
    return publish(run.path, page, embedded, [kind.name for kind in ALL_FIGURES])


def drawn(run: Run) -> tuple[str, dict[str, bytes]]:
    """(page, figures by file name) as :func:`write_report` writes them, in memory."""
    page, embedded = _drawn(run)
    return page, {name: content for picture in embedded for name, content in picture.files.items()}


def _drawn(run: Run, command: str = "", title: str | None = None) -> tuple[str, list[EmbeddedPicture]]:
    with times_in(run.system.time_unit):
        embedded = [embed(picture) for picture in pictures(run)]
        return report_page(run, embedded, command or run.metrics.get("command", ""), title), embedded


def write_comparison_report(
    folder: str | Path,
    *,
    title: str,
    variants: "Mapping[str, Variant]",
    reference: "Mapping[str, Sequence[Curve]] | None" = None,
    statistics: Sequence[str] = ("max",),
    summary: str = "",
    notes: Sequence[str] = (),
    command: str = "",
    extra: "Sequence[Picture]" = (),
) -> Path:
    """Write the page of an experiment: a table of variants, and one figure that lays their errors over each other.

    Returns the path of ``report.html``; the figure is ``figures/comparison.pdf, .png``.

    variants : name -> :class:`reports.Variant`, in the order of the columns; the validated ones have the same states.
    reference : state name -> curves to lay over its panel, for instance ``Curve("published", t, values, "points")``.
    statistics : what is drawn of the trials of each variant, of ``"max"``, ``"rms"``, ``"median"``: the first solid,
        the second dashed, the third dotted.
    extra : further pictures, drawn already.
    summary, notes : a paragraph on top, and remarks below the table. command : the command line that makes it again.
    """
    from reports.comparison import comparison_context
    from reports.figures.comparison import comparison_figure, comparison_reading
    from reports.style import COLUMN

    folder = Path(folder)
    validations = {name: variant.validation for name, variant in variants.items() if variant.validation is not None}
    embedded: list[EmbeddedPicture] = []
    if validations:
        figure = comparison_figure(validations, reference, statistics)
        reading = comparison_reading(validations, reference, statistics)
        alt = f"Error of each state over time on a log axis for the variants {', '.join(validations)}."
        wide = figure.get_figwidth() > 1.2 * COLUMN
        embedded = [embed(Picture(COMPARISON, "Errors of all variants", reading, alt, figure, wide))]
    embedded += [embed(picture) for picture in extra]
    context = comparison_context(variants, folder)
    page = page_of(
        "comparison", title=title, summary=summary, notes=notes, command=command, pictures=embedded, **context
    )
    return publish(folder, page, embedded, [COMPARISON, *[picture.name for picture in extra]])


def write_tables_report(
    folder: str | Path,
    *,
    title: str,
    tables: "Sequence[Table]",
    summary: str = "",
    notes: Sequence[str] = (),
    pictures: Sequence[EmbeddedPicture] = (),
    command: str = "",
) -> Path:
    """Write a page of tables and pictures (embedded already), as :func:`write_comparison_report` does for variants."""
    page = page_of(
        "comparison",
        title=title,
        summary=summary,
        notes=notes,
        command=command,
        pictures=pictures,
        variants=[],
        tables=tables,
    )
    return publish(Path(folder), page, pictures, [picture.name for picture in pictures])


def publish(folder: Path, page: str, embedded: Sequence[EmbeddedPicture], known: Sequence[str]) -> Path:
    """Put all files in place, the page last; pictures of an earlier report that this one does not have are removed."""
    figures = folder / FIGURES
    refuse_links(figures / PAGE)
    figures.mkdir(parents=True, exist_ok=True)
    written = set()
    for picture in embedded:
        for name, content in picture.files.items():
            write_bytes(figures / name, content)
            written.add(name)
    write_text(folder / PAGE, page)
    for name in (f"{kind}.{suffix}" for kind in known for suffix in ("pdf", "png")):
        if name not in written:
            (figures / name).unlink(missing_ok=True)
    return folder / PAGE
