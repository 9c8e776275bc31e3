"""The page: self-contained, honest about what is missing, safe against what a person may write, whole or not there."""

import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from fakes import COMMAND, fake_fit, fake_plant, fake_run, fake_system, fake_validation

from observer import Run
from reports import Curve, Number, Variant, write_comparison_report, write_report
from reports.quantities import exact, number_text, percent
from reports.writing import drawn
from systems.signals import Parameter

HOSTILE = "<script>alert(\"x\")</script> & 'quotes' {{ 7 * 7 }} `<b>`"


class Page(HTMLParser):
    """Tags, attributes, headings and numbers of a page."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.headings, self.numbers, self.stack = [], [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag == "data":
            self.numbers.append(dict(attrs)["value"])
        if tag in ("h1", "h2", "h3"):
            self.headings.append(tag)
        if tag not in ("meta", "img", "br"):
            self.stack.append(tag)

    def handle_endtag(self, tag):
        assert self.stack and self.stack.pop() == tag, f"</{tag}> closes nothing"


def read(path):
    return path.read_text(encoding="utf-8")


def visible(text):
    """The page without its styles, data addresses and tags."""
    text = re.sub(r"<style>.*?</style>|src=\"[^\"]*\"|</?data[^>]*>", "", text, flags=re.S)
    text = re.sub(r"<[^>]+>", " ", text).replace("\xa0", " ").replace("&nbsp;", " ")
    return re.sub(r"[^\S\u202f]+", " ", text)


def test_page_is_one_self_contained_file(report):
    text = read(report)
    page = Page(text)
    assert not page.stack
    assert len(text) < 3_000_000
    assert not {"script", "link", "iframe", "object"} & set(page.tags)
    sources = [value for _, name, value in page.attributes if name in ("src", "href", "srcset", "style")]
    assert sources and all(
        value.startswith(("data:image/svg+xml;base64,", "data:image/png;base64,")) for value in sources
    )
    assert "http" not in re.sub(r"base64,[A-Za-z0-9+/=]+", "", text)
    assert "@import" not in text and "url(" not in text


def test_page_is_made_for_every_reader(report):
    page = Page(read(report))
    assert page.headings[0] == "h1" and page.headings.count("h1") == 1 and page.headings[1] == "h2"
    images = page.tags.count("img")
    alts = [value for tag, name, value in page.attributes if tag == "img" and name == "alt"]
    assert images == len(alts) == 7 and all(len(alt) > 30 for alt in alts)
    assert page.tags.count("figcaption") == images
    assert ("html", "lang", "en") in page.attributes and ("meta", "name", "viewport") in page.attributes


def test_verdict_comes_first_with_every_criterion(report, run):
    text = visible(read(report))
    verdict, pictures = text.index("✓ Pass"), text.index("States and estimates")
    for criterion in run.validation.criteria:
        assert verdict < text.index(f"(required: {criterion.requirement})") < pictures
    assert COMMAND in text
    assert "sampled" in text and "not proved" in text
    assert re.search(r"Python 3\.\d+\.\d+, .*numpy \d", text)


def test_numbers_on_the_page_equal_those_of_the_results(report, run):
    numbers = Page(read(report)).numbers
    v, c, f = run.validation, run.certificate, run.fit
    for value in [
        *v.rms_error, *v.max_error, *v.settling_time, v.residual_level, v.converged_fraction, c.rate, c.rate_per_second,
        c.metric_condition, c.lmi_margin, c.gain_y, c.gain_u, *c.state_gain, f.one_step_loss, f.start_loss, f.seconds,
        *f.one_step_rms, *f.region.ravel(), f.search.rate, run.plant.dt, *run.plant.error,
    ]:  # fmt: skip
        assert repr(float(value)) in numbers
    for whole in (v.trials, v.n_diverged, f.iterations, f.seed, run.plant.substeps):
        assert str(whole) in numbers
    text = visible(read(report))
    for parameter in run.system.parameters.values():
        assert parameter.unit in text
    assert f"{number_text(v.rms_error[1], 3)} m/s" in text or number_text(v.rms_error[1]) in text
    assert percent(v.rms_error[0] / 6).replace("\xa0", " ") in text


def test_every_figure_is_written_for_paper_and_for_screen(report):
    folder = report.parent / "figures"
    names = {path.stem for path in folder.iterdir()}
    assert names == {"states", "errors", "error_norm", "settling", "phase", "loss", "starts"}
    for name in names:
        pdf, png = (folder / f"{name}.pdf").read_bytes(), (folder / f"{name}.png").read_bytes()
        assert pdf.startswith(b"%PDF") and pdf.rstrip().endswith(b"%%EOF")
        assert b"/Type3" not in pdf and b"CreationDate" not in pdf
        assert png.startswith(b"\x89PNG") and png.rstrip()[-8:-4] == b"IEND"
        width = int.from_bytes(png[16:20], "big")
        assert width in (700, 1432)  # one or two columns of a paper at 200 dpi
    assert len(list(folder.iterdir())) == 2 * len(names)


def test_same_results_same_bytes(run):
    from reports.figures import settling_figure
    from reports.style import encode

    for suffix in ("pdf", "png", "svg"):
        once, again = (encode(settling_figure(run.validation), suffix) for _ in range(2))
        assert once == again


def test_what_a_person_wrote_is_escaped(quick, tmp_path):
    system = fake_system(2, name=HOSTILE, description=HOSTILE, source=HOSTILE)
    system.states = tuple(replace(signal, unit=HOSTILE) for signal in system.states)
    system.parameters = {"mu": Parameter(1.0, HOSTILE)}
    plant = fake_plant(system)
    plant.warnings = (HOSTILE,)
    validation = fake_validation(system, trials=3, duration=1.0)
    hostile = replace(validation.criteria[0], name=HOSTILE, requirement=HOSTILE)
    validation.criteria = (hostile, *validation.criteria[1:])
    fit = fake_fit(system, plant, message=HOSTILE, options={HOSTILE: HOSTILE}, warnings=(HOSTILE,), status="budget")
    metrics = {"network": {"kind": HOSTILE}, HOSTILE: [HOSTILE, float("nan")]}
    run = Run(tmp_path, plant, fit, validation=validation, metrics=metrics)
    path = write_report(run, command=HOSTILE, title=HOSTILE)
    text = read(path)
    page = Page(text)
    assert not {"script", "b"} & set(page.tags)
    assert "<script" not in text and "&lt;script&gt;" in text
    assert "{{ 7 * 7 }}" in text and not page.stack
    variants = {HOSTILE: Variant(validation, fit, None, HOSTILE, {HOSTILE: HOSTILE}), "../up": Variant()}
    path = write_comparison_report(
        tmp_path, title=HOSTILE, variants=variants, summary=HOSTILE, notes=[HOSTILE], command=HOSTILE
    )
    assert "<script" not in read(path)


@pytest.mark.parametrize("missing", ["fit", "certificate", "validation"])
def test_missing_parts_are_said_to_be_missing_and_how_to_get_them(quick, tmp_path, missing):
    run = replace(fake_run(2, tmp_path, trials=3, duration=1.0), **{missing: None})
    text = visible(read(write_report(run)))
    command = {"fit": "fit", "certificate": "certify", "validation": "validate"}[missing]
    assert f"observer {command} RUN" in text
    assert ("Not validated" in text) == (missing == "validation")
    noisy = fake_validation(run.system, trials=3, duration=1.0, noise=True)
    text = visible(read(write_report(replace(run, validation_noise=noisy))))
    assert "with measurement noise" in text


def test_nothing_but_a_plant_is_a_report_too(quick, tmp_path):
    run = fake_run(2, tmp_path, trials=2, duration=0.5)
    path = write_report(Run(tmp_path, run.plant))
    text = visible(read(path))
    assert "Not validated" in text and "The command was not recorded" in text
    assert "not computed yet" in text.lower() and not Page(read(path)).stack


def test_network_is_described_from_the_metrics_where_the_fit_is_not_at_hand(quick, tmp_path):
    run = replace(fake_run(2, tmp_path, trials=2, duration=0.5), fit=None)
    text = visible(read(write_report(replace(run, metrics={"network": {"kind": "REN", "nv": 37}}))))
    assert "kind of network" in text and "37" in text


@pytest.mark.parametrize("nx", [1, 3, 8])
def test_a_failed_validation_is_told_plainly(quick, tmp_path, nx):
    run = fake_run(nx, tmp_path, trials=8, duration=4.0, diverge=(1,), slow=(2, 3))
    run.validation.in_region[4] = False
    run.fit.status = "budget"
    path = write_report(run)
    text = visible(read(path))
    assert "✗ Fail" in text and "5 of 8 trials converged" in text and "1 trial diverged" in text
    assert "converged fraction is 0.625, required: at least 0.99" in text
    assert "the plant left its operating range" in text
    assert "status “budget”" in text
    assert "nan" not in text.lower().replace("nanometre", "") and not Page(read(path)).stack


def test_all_trials_diverged(quick, tmp_path):
    run = fake_run(2, tmp_path, trials=3, duration=3.0, diverge=(0, 1, 2))
    run.validation.residual_level = float("inf")
    text = visible(read(write_report(run)))
    assert "stayed there in none of them" in text and "never settled" in text


def test_a_certificate_that_does_not_hold_proves_nothing(quick, tmp_path):
    run = fake_run(2, tmp_path, trials=2, duration=0.5)
    nan = float("nan")
    for name in ("rate", "rate_per_second", "lmi_margin", "gain_y", "gain_u"):
        setattr(run.certificate, name, nan)
    run.certificate.holds, run.certificate.reason = (
        False,
        "Nothing is proved: D11 is not strictly lower triangular.",
    )
    run.certificate.state_gain = np.full(2, nan)
    text = visible(read(write_report(run)))
    assert "Nothing is proved: D11" in text and "approach each other" not in text
    assert "certified decay" not in text


def test_a_status_that_is_a_member_of_an_enum_is_shown_as_its_word(quick, tmp_path):
    from enum import Enum

    class Status(str, Enum):  # noqa: UP042
        STALLED = "stalled"

    run = fake_run(1, tmp_path, trials=2, duration=0.5)
    run.fit.status = Status.STALLED
    text = read(write_report(run))
    assert "Status.STALLED" not in text and "stalled" in text


def test_nothing_is_left_half_written_when_a_figure_fails(quick, tmp_path, monkeypatch):
    run = fake_run(1, tmp_path, trials=2, duration=0.5)
    path = write_report(run)
    before = {p.name: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}

    def broken(figure, suffix):
        if suffix == "svg":
            raise RuntimeError("no ink")
        return b"new"

    monkeypatch.setattr("reports.page.encode", broken)
    with pytest.raises(RuntimeError, match="no ink"):
        write_report(run)
    assert {p.name: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before
    with pytest.raises(RuntimeError, match="no ink"):
        write_report(replace(run, path=tmp_path / "fresh"))
    assert not (tmp_path / "fresh").exists() and path.is_file()


def test_figures_of_an_earlier_report_do_not_stay(quick, tmp_path):
    write_report(fake_run(2, tmp_path, trials=2, duration=0.5))
    (tmp_path / "figures" / "mine.pdf").write_text("kept")
    write_report(fake_run(1, tmp_path, trials=2, duration=0.5))
    left = {path.name for path in (tmp_path / "figures").iterdir()}
    assert "phase.pdf" not in left and "phase.png" not in left
    assert {"mine.pdf", "states.pdf", "states.png"} <= left


def test_comparison_report(quick, tmp_path):
    system = fake_system(2)
    ours = fake_validation(system, trials=4, duration=2.0)
    (tmp_path / "ours").mkdir()
    (tmp_path / "ours" / "report.html").write_text("x")
    path = write_comparison_report(
        tmp_path,
        title="Box",
        variants={
            "ours": Variant(ours, numbers={"velocity RMS, Euler model": Number(1.25e-3, "m/s")}),
            "published": Variant(
                description="Digitised.", numbers={"velocity RMS, Euler model": Number(1.26e-2, "m/s")}
            ),
        },
        reference={"velocity": [Curve("published", [0.5, 1.0], [0.118, 0.09], "points")]},
        command="observer experiment box",
    )
    text = read(path)
    page = Page(text)
    assert not page.stack and ("a", "href", "ours/report.html") in page.attributes
    assert repr(float(ours.rms_error[1])) in page.numbers and "0.0126" in page.numbers
    assert "0.00125 m/s" in visible(text) and "observer experiment box" in text
    assert (tmp_path / "figures" / "comparison.pdf").is_file()


def test_comparison_of_published_numbers_alone(quick, tmp_path):
    path = write_comparison_report(tmp_path, title="Box", variants={"published": Variant(numbers={"RMS": 0.0126})})
    assert "0.0126" in read(path) and "<img" not in read(path)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.012583, "0.01258"), (1.26e-4, "1.26 × 10⁻⁴"), (-3.5e7, "−3.5 × 10⁷"), (1e300, "1 × 10³⁰⁰"), (-0.5, "−0.5"),
        (12345, "12\u202f345"), (0, "0"), (0.0, "0"), (np.int64(7), "7"), (1234.5678, "1235"), (0.99999, "1"),
        (99999.5, "1 × 10⁵"), (True, "yes"), (np.bool_(False), "no"), ("text", "text"),
        (None, "–"), (float("nan"), "–"), (float("inf"), "∞"),
    ],
)  # fmt: skip
def test_numbers_are_short_for_the_eye(value, text):
    assert number_text(value) == text


def test_numbers_are_exact_underneath():
    assert exact(np.float64(0.1) + 0.2) == "0.30000000000000004"
    assert exact(np.int64(7)) == "7" and exact(True) == "true" and exact("x") is None and exact(None) is None


def test_importing_reports_is_light():
    import subprocess
    import sys
    from pathlib import Path

    program = (
        "import reports, reports.style, sys; assert not {'matplotlib', 'jinja2', 'torch', 'casadi'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], cwd=Path(__file__).parents[2], check=True, timeout=60)


def test_a_page_names_the_unit_of_time_of_the_plant(quick, tmp_path):
    minutes = fake_run(2, tmp_path)
    minutes.plant.system.time_unit = "min"
    page, _ = drawn(minutes)
    text = re.sub(r"<[^>]+>", "", page).replace("\u00a0", " ")
    assert re.search(r"every [\d.]+ min\.", text) and re.search(r"settles in [\d.]+ min", text)
    assert not re.search(r"every [\d.]+ s\.|settles in [\d.]+ s\b", text)


def test_a_warning_of_data_and_trials_is_said_once_and_others_are_not_lost(tmp_path):
    from reports.sentences import warnings

    run = fake_run(2, tmp_path, trials=2, duration=0.5)
    texts = [
        f"state '{name}' is outside its range (0, 8) in {share} % of the samples"
        for name in "ab"
        for share in (76, 77.2)
    ]
    run.fit.warnings, run.validation.warnings = (texts[0], texts[2]), (texts[1], texts[3], "another")
    assert [text for text in warnings(run) if text in [*texts, "another"]] == [texts[0], texts[2], "another"]
