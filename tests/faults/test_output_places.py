"""Nothing that a command reads, no file of a run, no file of others is written to; nothing is written through a link in a run."""

import os

import numpy as np
import pytest

from experiments.compare.store import Store
from observer.storage import write_json, write_text
from systems import simulate, write_recordings
from systems.base.errors import InputError
from systems.base.output_places import FOLDER, check_files
from tests.faults.conftest import contents, refused

ESTIMATE, EXPORT = ["estimate", "run", "log.csv", "-o"], ["export", "run", "--format", "npz", "-o"]
READ, KEPT, ANEW = "is read from", "the folder of a run", "begins anew"


@pytest.fixture
def places(shop):
    """The shop with every way to name its files twice, a folder of somebody else, and links to nothing."""
    os.link(shop / "log.csv", shop / "hard.csv")
    (shop / "soft.csv").symlink_to("log.csv")
    os.link(shop / "run" / "trajectories.npz", shop / "hard.npz")
    (shop / "linked").symlink_to("run")
    (shop / "nothing").symlink_to("nowhere")
    (shop / "foreign" / "results").mkdir(parents=True)
    (shop / "foreign" / "report.html").write_text("mine")
    (shop / "foreign" / "results" / "mine.npz").write_text("mine")
    (shop / "file").write_text("mine")
    return shop


@pytest.mark.parametrize("force", [[], ["--force"]])
@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([*ESTIMATE, "log.csv"], READ),
        ([*ESTIMATE, "./foreign/../log.csv"], READ),
        ([*ESTIMATE, "hard.csv"], READ),
        ([*ESTIMATE, "soft.csv"], READ),
        ([*ESTIMATE, "hard.npz"], READ),
        ([*ESTIMATE, "run/trajectories.npz"], KEPT),
        ([*ESTIMATE, "run/validation_noise.npz"], KEPT),
        ([*ESTIMATE, "run/new.csv"], KEPT),
        ([*ESTIMATE, "linked/new.csv"], KEPT),
        ([*ESTIMATE, "nothing/new.csv"], "link to nowhere"),
        ([*ESTIMATE, "file/new.csv"], "is a file"),
        ([*EXPORT, "run"], KEPT),
        ([*EXPORT, "linked"], KEPT),
        ([*EXPORT, "run/export"], KEPT),
        ([*EXPORT, "run/figures"], KEPT),
        ([*EXPORT, "nothing"], "link to nowhere"),
        ([*EXPORT, "nothing/x"], "link to nowhere"),
        ([*EXPORT, "file"], "is a file"),
        ([*EXPORT, "file/x"], "is a file"),
        (["new", "run/source.toml"], KEPT),
        (["new", "run/new.toml"], KEPT),
        (["new", "linked/new.py"], KEPT),
    ],
)
def test_files_are_never_put_where_something_is_read_or_a_run_lies(observer, places, words, said, force):
    before = contents(places)
    refused(observer(*words, *force), said)
    assert contents(places) == before


@pytest.mark.parametrize(
    ("words", "said"),
    [
        *((["simulate", "spring.toml", "--out", out], said) for out, said in (
            ("file", "is a file"), ("file/x", "is a file"), ("foreign", "holds other files"), ("nothing", "link to nowhere"),
            ("nothing/x", "link to nowhere"), ("run/inside", KEPT), ("linked/inside", KEPT), ("run/figures", KEPT),
        )),
        (["run", "run/source.toml", "--out", "run", "--fresh"], ANEW),
        (["run", "run/source.toml", "--out", "linked", "--fresh"], ANEW),
        (["run", "spring.toml", "--config", "run/config.toml", "--out", "run", "--fresh"], ANEW),
        (["simulate", "spring.toml", "--config", "run/config.toml", "--out", "run", "--fresh"], ANEW),
        (["fit", "--data", "run/trajectories.npz", "--plant", "spring.toml", "--out", "run", "--fresh"], ANEW),
        (["fit", "--data", "hard.npz", "--plant", "spring.toml", "--out", "run", "--fresh"], ANEW),
        *((["fine-tune", "run", "--out", out], said) for out, said in (
            ("run", "is the run to be tuned"), ("linked", "is the run to be tuned"), ("run/inside", KEPT), ("nothing", "link to nowhere"),
            ("foreign", "holds other files"), ("file", "is a file"),
        )),
        *(([*command, "--out", out], said) for command in (["compare", "run"], ["experiment", "box"]) for out, said in (
            ("run", KEPT), ("run/inside", KEPT), ("nothing", "link to nowhere"), ("foreign", "holds other files"),
            ("file", "is a file"), ("file/x", "is a file"),
        )),
    ],
)  # fmt: skip
def test_folders_are_never_made_of_what_is_read_or_foreign(observer, places, words, said):
    before = contents(places)
    refused(observer(*words), said)
    assert contents(places) == before


@pytest.mark.parametrize(
    ("words", "names"),
    [
        ([*ESTIMATE, "out.csv"], ["out.csv"]),
        ([*EXPORT, "data"], ["data/validation.npz", "data/trajectories.npz"]),
        (["export", "run", "-o", "data"], ["data/trajectories_003.csv"]),
        (["new", "mine.toml"], ["mine.toml"]),
        (["new", "mine.py"], ["mine.py"]),
    ],
)
@pytest.mark.parametrize("kind", ["file", "link", "dangling"])
def test_files_of_others_need_force(observer, shop, words, names, kind):
    (shop / "data").mkdir()
    (shop / "target").write_text("mine")
    for name in names:
        if kind == "file":
            (shop / name).write_text("mine")
        else:
            (shop / name).symlink_to(shop / ("target" if kind == "link" else "nowhere"))
    before = contents(shop)
    refused(observer(*words), "exists already", "--force")
    assert contents(shop) == before
    assert observer(*words, "--force").code == 0
    assert (shop / "target").read_text() == "mine" and not (shop / "nowhere").exists()
    for name in names:
        assert not (shop / name).is_symlink() and len((shop / name).read_bytes()) > 10


def test_of_several_files_all_are_looked_at_first(observer, shop):
    for k in range(3):
        (shop / f"log_00{k}.csv").write_bytes((shop / "log.csv").read_bytes())
    (shop / "out_001.csv").write_text("mine")
    before = contents(shop)
    refused(observer("estimate", "run", "log_*.csv", "-o", "out.csv"), "out_001.csv: exists already")
    refused(observer("estimate", "run", "log_*.csv", "-o", "log.csv", "--force"), "log_000.csv: is read from")
    assert contents(shop) == before


def test_a_folder_may_have_the_name_of_its_plant_of_the_library(shop, observer):
    answer = observer("simulate", "box", "--out", "box", "--trajectories", 4, "--duration", 1)
    assert answer.code == 0 and (shop / "box" / "trajectories.npz").is_file()


def test_a_run_may_be_given_by_a_link(observer, shop):
    (shop / "linked").symlink_to("run")
    (shop / "run" / "report.html").unlink()
    assert observer("report", "linked", "--quiet").code in (0, 1) and (shop / "run" / "report.html").is_file()
    assert observer("run", "spring.toml", "--out", "linked", "--fresh", "--trajectories", 4, "--duration", 3, "--neurons", 2, "--trials", 3,
                    "--epochs", 4, "--quiet").code in (0, 1)  # fmt: skip
    assert (shop / "linked").is_symlink()


@pytest.mark.parametrize("target", ["elsewhere", "nowhere"])
@pytest.mark.parametrize(
    "words", [["report", "run"], ["validate", "run"], ["run", "spring.toml", "--out", "run", "--fresh"]]
)
def test_nothing_is_written_through_a_folder_that_is_a_link(observer, shop, words, target):
    figures = shop / "run" / "figures"
    (figures / "errors.png").unlink()
    figures.rmdir()
    (shop / "elsewhere").mkdir()
    (shop / "elsewhere" / "errors.png").write_text("mine")
    figures.symlink_to(shop / target)
    before = contents(shop)
    refused(observer(*words, "--quiet"), "run/figures: is a link to", "put a real folder in its place")
    assert contents(shop) == before


def test_a_file_that_is_a_link_is_replaced_and_its_target_kept(observer, shop):
    for name in ("report.html", "metrics.json", "validation.npz", "certificate.json"):
        (shop / f"my {name}").write_bytes((shop / "run" / name).read_bytes())
        (shop / "run" / name).unlink()
        (shop / "run" / name).symlink_to(shop / f"my {name}")
    (shop / "run" / "starts.npz").unlink()
    (shop / "run" / "starts.npz").symlink_to(shop / "nowhere")
    before = {name: content for name, content in contents(shop).items() if name.startswith("my ")}
    for step in ("certify", "validate", "report"):
        assert observer(step, "run", "--quiet").code in (0, 1)
    assert {name: content for name, content in contents(shop).items() if name.startswith("my ")} == before
    assert not any(item.is_symlink() for item in (shop / "run").iterdir()) and not (shop / "nowhere").exists()


def test_sub_folders_of_experiments_and_comparisons_are_no_links(observer, shop):
    (shop / "elsewhere").mkdir()
    (shop / "kept").mkdir()
    write_json(shop / "kept" / FOLDER, {"holds": "experiment box"})
    for name in ("ours", "results", "plants", "figures"):
        (shop / "kept" / name).symlink_to(shop / "elsewhere")
    refused(observer("run", "spring.toml", "--out", "kept/ours"), "kept/ours: is a link to")
    with pytest.raises(InputError, match="results: is a link"):
        Store(shop / "kept", {}).save("noise", {})
    with pytest.raises(InputError, match="plants: is a link"):
        write_json(shop / "kept" / "plants" / "box.json", {})
    (shop / "kept" / "ours").unlink()
    refused(observer("experiment", "box", "--out", "kept"), "kept/figures: is a link to")
    assert not any((shop / "elsewhere").iterdir())


def test_the_library_follows_no_link_in_a_run_either(shop, plants):
    (shop / "elsewhere").mkdir()
    (shop / "run" / "more").symlink_to(shop / "elsewhere")
    data = simulate(plants["box"], 1, duration=0.1)
    for path in (shop / "run" / "more" / "data.csv", shop / "run" / "more" / "data.npz"):
        with pytest.raises(InputError, match="run/more: is a link to"):
            write_recordings(data, path, plants["box"].system)
    with pytest.raises(InputError, match="run/more: is a link to"):
        data.save(shop / "run" / "more" / "data.npz")
    with pytest.raises(InputError, match="run/more: is a link to"):
        write_text(shop / "run" / "more" / "text", "")
    assert not any((shop / "elsewhere").iterdir()) and np.isfinite(data.x).all()


def test_another_experiment_keeps_its_folder(observer, shop):
    (shop / "kept").mkdir()
    write_json(shop / "kept" / FOLDER, {"holds": "experiment pde"})
    for words in (["experiment", "box"], ["compare", "run"]):
        refused(observer(*words, "--out", "kept"), "is the folder of the experiment pde")


def test_a_link_to_itself_is_a_name_like_others(tmp_path):
    loop = tmp_path / "loop.csv"
    loop.symlink_to(loop)
    with pytest.raises(InputError, match="exists already"):
        check_files([loop], reads=[tmp_path / "log.csv"])
    with pytest.raises(InputError, match="read from"):
        check_files([loop], reads=[loop])
