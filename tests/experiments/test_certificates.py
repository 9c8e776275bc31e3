"""The certificate of a run, checked by someone else: tampering is found and named; the soundness experiment at toy size."""

import importlib
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from experiments.named.certificates.run import CertificatesSize, try_certificate
from experiments.pipeline.metrics import metrics_of
from experiments.pipeline.verify import verify
from experiments.registry import named
from experiments.runner import run_experiment
from observer import runs
from observer.certification.certificate import Certificate, certify
from observer.certification.contraction import contraction_rate
from observer.certification.envelope import envelope, ultimate_bound
from observer.certification.identity import identity
from observer.certification.verification import AGREES, verify_certificate
from observer.networks.ren.explicit import ExplicitREN
from observer.run_chain import hashes
from observer.scaling import Scaling
from observer.state_observer import RENObserver
from observer.storage import file_hash, load_observer, save_observer, write_json
from systems import Signal, System, discretize
from systems.base.errors import InputError
from systems.base.records import to_plain

DATA = Path(__file__).parents[1] / "data"
WRONG = 1e-3  # what the observer believes of the stiffness too much


def cart(stiffness=1.0):
    return discretize(
        System(
            name="cart",
            states=[Signal("position", "m", (-1.0, 1.0)), Signal("velocity", "m/s", (-1.0, 1.0))],
            inputs=[Signal("force", "N", (-0.5, 0.5), excitation="zero")],
            outputs=[Signal("y", "m")],
            dynamics=lambda x, u: [x[1], -stiffness * x[0] - 0.5 * x[1] + u[0]],
            output=lambda x: [x[0]],
            dt=0.1,
            duration=10.0,
        ),
        method="exact",
    )


def linear_observer(plant):
    """Luenberger's, of a plant that is a little off: r = E (x, u) exactly, so that every supremum is at a corner."""
    x, u = np.zeros((1, 2)), np.zeros((1, 1))
    A, B = (part[0] for part in plant.jacobian(x, u))
    E = np.array([[0.0, 0.0], [WRONG, 0.0]])
    L = np.array([[0.7], [0.9]])
    none, neuron = np.zeros((2, 1)), np.zeros((1, 2))  # one neuron that does nothing
    weights = ExplicitREN.with_identity_output(
        A + E - L @ np.array([[1.0, 0.0]]), none, np.hstack([B, L]), neuron, np.zeros((1, 1)), np.zeros((1, 2)),
        np.zeros(2), np.zeros(1),
    )  # fmt: skip
    M = np.eye(2)
    for _ in range(300):
        M = np.eye(2) + weights.A.T @ M @ weights.A / 0.85**2
    rate = contraction_rate(weights, M, np.ones(1))
    scaling = Scaling(np.zeros(2), np.ones(2), np.zeros(2), np.ones(2))
    return RENObserver(weights, M, np.ones(1), rate * 1.01, scaling, {}, plant)


def sign(folder, observer=None, certificate=None):
    """Write parts of the run anew, with every hash right: what a forger would do."""
    if observer is not None:
        save_observer(folder / runs.OBSERVER, observer)
    if certificate is not None:
        write_json(folder / runs.CERTIFICATE, certificate, hashes=hashes(folder, runs.SYSTEM, runs.OBSERVER))
    document = json.loads((folder / runs.METRICS).read_text()) if (folder / runs.METRICS).is_file() else None
    if document is None:
        document = metrics_of(runs.load_run(folder))
    document["hashes"] = {name: file_hash(folder / name) for name in document["hashes"]}
    document.pop("checksum", None)
    write_json(folder / runs.METRICS, document)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder, plant = tmp_path_factory.mktemp("runs") / "cart", cart()
    folder.mkdir()
    observer = linear_observer(plant)
    certificate = certify(observer, plant, work=0.02)
    runs.save_plant(folder, plant)
    save_observer(folder / runs.OBSERVER, observer)
    runs.save_certificate(folder, certificate)
    sign(folder)
    return folder


@pytest.fixture
def folder(made, tmp_path):
    return shutil.copytree(made, tmp_path / "cart")


def stored(folder):
    document = json.loads((folder / runs.CERTIFICATE).read_text())
    return {name: value for name, value in document.items() if name not in ("checksum", "hashes", "format_version")}


def test_bounds_of_a_linear_case_are_its_corners_and_hold_by_brute_force(made):
    run = runs.load_run(made)
    bounds = run.certificate.bounds
    assert bounds.kind == "proved" and bounds.region.how == "reached"
    X = bounds.region.box[:2]
    assert [p.after > 0 for p in bounds.proofs] == [False, False, True]
    settled = bounds.proofs[-1]
    assert settled.before.upper == bounds.proofs[1].residual.upper > settled.residual.upper > settled.residual.lower > 0
    for p in bounds.proofs[:2]:
        worst = WRONG * np.abs(X[0]).max() * np.sqrt(p.contraction.metric[1, 1])  # r = (0, WRONG x1)
        assert worst * (1 - 1e-9) <= p.residual.upper <= 1.05 * worst
        assert p.residual.lower == pytest.approx(worst, rel=1e-3) and p.residual.state_upper[0] < 1e-9
    rng, plant = np.random.default_rng(0), run.plant
    observer = load_observer(made / runs.OBSERVER, plant)
    x = rng.uniform(X[:, 0], X[:, 1], (200, 2)) * 0.9
    x_hat = x + rng.normal(size=x.shape) * 10.0 ** rng.uniform(-6, 1, (200, 1))
    for held in (False, True):
        truth, guess = x, x_hat
        bound = envelope(run.certificate, x_hat - x, 150, held_input=held).bound
        inside = np.ones(len(x), dtype=bool)
        for k in range(150):
            assert (np.abs(guess - truth)[inside] <= bound[inside, k] * (1 + 1e-12)).all()
            inside &= bounds.region.holds(truth)
            u = np.zeros((200, 1)) if held else rng.uniform(-0.5, 0.5, (200, 1))
            truth, guess = plant.step(truth, u), observer.step(guess, u, plant.output(truth, u))
        assert inside.any()
    flat = bounds.unforced[0]  # the residual does not depend on the input: the same number from two dimensions less
    assert flat.residual.upper == pytest.approx(bounds.proof.residual.upper, rel=0.05) and (bounds.held == 0).all()
    free, held = (ultimate_bound(run.certificate, held_input=h)[0] for h in (False, True))
    assert (held <= free).all()


def test_verify_proves_everything_again(folder):
    found = verify(folder)
    assert found.differs == []
    for text in ("region", "proof 'one step'", "proof 'refined metric, settled'", "many-step bound", "settled set"):
        assert f"certificate.json: {text}" in found.agrees, text
    assert "certificate.json: identity of the matrices and of the plant" in found.agrees


def altered(observer, **changes):
    weights = {name: change(np.array(getattr(observer.weights, name))) for name, change in changes.items()}
    return replace(observer, weights=replace(observer.weights, **weights))


@pytest.mark.parametrize(
    "name, change",
    [
        ("A", lambda A: A * np.where(np.eye(2) > 0, -1, 1)),
        ("B2", lambda B: np.nextafter(B, np.inf)),
        ("bx", lambda b: b + 5e-324),
        ("C1", lambda C: -C + 1e-12),
    ],
)
def test_a_weight_with_another_sign_or_last_digit_is_named(folder, name, change):
    plant = runs.load_plant(folder)
    sign(folder, altered(load_observer(folder / runs.OBSERVER, plant), **{name: change}))
    found = verify(folder)
    assert any(f"{name} is not what was certified" in text for text in found.differs), found.differs
    assert not any(f"certificate.json: {other} is not" in text for other in ("D11", "metric") for text in found.differs)


def test_a_forger_who_signs_everything_is_refuted_by_the_search(folder):
    """Another weight, all hashes and fingerprints right: the residual that is stated is exceeded by one that is found."""
    plant = runs.load_plant(folder)
    forged = altered(load_observer(folder / runs.OBSERVER, plant), bx=lambda b: b + 2e-3)
    data = stored(folder)
    sign(folder, forged, data | {"identity": identity(forged, plant, Certificate.from_data(data).bounds)})
    found = verify(folder)
    assert any(
        "proof 'one step', residual: stated as at most" in text and "is reached" in text for text in found.differs
    )
    assert not any("not what was certified" in text for text in found.differs)


def test_a_widened_region_is_named_with_its_signal(folder):
    data = stored(folder)
    data["bounds"]["region"]["box"][1][1] *= 1.2
    sign(folder, certificate=data)
    assert any("region, box is " in text and " at [1, 1] there and " in text for text in verify(folder).differs)


def test_a_region_that_was_given_and_widened_is_refuted_by_the_search(folder):
    data = stored(folder)
    data["bounds"]["region"]["how"] = "given"
    data["bounds"]["region"]["box"][0] = [-1.5, 1.5]
    plant = runs.load_plant(folder)
    observer, bounds = load_observer(folder / runs.OBSERVER, plant), Certificate.from_data(data).bounds
    sign(folder, certificate=data | {"identity": identity(observer, plant, bounds)})
    assert any("proof 'one step', residual" in text and "is reached" in text for text in verify(folder).differs)


def test_another_plant_is_named(folder):
    other = cart(1.01)
    runs.save_plant(folder, other)
    plant = runs.load_plant(folder)
    differs = verify(folder).differs
    assert any("fitted to another plant" in text for text in differs), differs
    sign(folder, linear_observer(plant))
    assert any("the plant and its discretisation are not what was certified" in text for text in verify(folder).differs)


def test_a_smaller_bound_is_not_confirmed(folder):
    data = stored(folder)
    data["bounds"]["proofs"][0]["residual"]["upper"] *= 0.5
    data["bounds"]["proofs"][1]["contraction"]["rate"] *= 0.99
    sign(folder, certificate=data)
    differs = verify(folder).differs
    assert any("proof 'one step', residual: stated as at most" in text for text in differs)
    assert any("proof 'refined metric', contraction, rate is" in text for text in differs)


def fewer_cells(bounds):
    bounds["settled"]["count"] -= 1


def too_early(bounds):
    bounds["proofs"][2]["settled"]["after"] -= 1


def smaller_before(bounds):
    bounds["proofs"][2]["settled"]["before"]["upper"] *= 0.9


def another_metric(bounds):
    bounds["proofs"][0]["residual"]["metric"][0][0] *= 1.01


def faster_horizon(bounds):
    bounds["horizon"]["rate"] *= 0.99


def smaller_horizon(bounds):
    bounds["horizon"]["state_upper"][0] *= 0.5


def smaller_settled(bounds):
    bounds["proofs"][2]["residual"]["upper"] *= 0.5


@pytest.mark.parametrize(
    "forge, text",
    [
        (fewer_cells, "settled set, count is"),
        (too_early, "proof 'refined metric, settled', settled, after is"),
        (smaller_before, "proof 'refined metric, settled', settled, before: stated as at most"),
        (another_metric, "proof 'one step', residual, metric is"),
        (faster_horizon, "many-step bound, rate is"),
        (smaller_horizon, "many-step bound, state upper is"),
        (smaller_settled, "proof 'refined metric, settled', residual: stated as at most"),
    ],
)
def test_a_forged_part_of_a_proof_is_named(folder, forge, text):
    data = stored(folder)
    forge(data["bounds"])
    sign(folder, certificate=data)
    found = verify(folder)
    assert any(text in line for line in (*found.differs, *found.unconfirmed)), found


def test_a_certificate_of_format_1_is_read_and_verified():
    """Written by the last version that had this format, for the same plant and observer."""
    stored = json.loads((DATA / "certificate_format_1.json").read_text())
    found, plant = Certificate.from_data(stored), cart()
    assert found.dt == plant.dt and found.rate_per_second == pytest.approx(stored["rate_per_second"], rel=1e-12)
    assert to_plain(found.bounds.proofs[1].gains.noise) == stored["bounds"]["proofs"][1]["step_gain_y"]
    findings = verify_certificate(found, linear_observer(plant), plant)
    assert len(findings) > 16 and all(f.answer == AGREES for f in findings), findings
    for held, bound in ((False, [0.00146986, 0.00878183]), (True, [0.00066946, 0.00453619])):
        np.testing.assert_allclose(ultimate_bound(found, held_input=held)[0], bound, rtol=1e-5)
    again = Certificate.from_data(json.loads(json.dumps(found.to_data())))
    assert again.to_data() == found.to_data() and again.to_data()["certificate_format"] == 3
    for part, name in ((stored["bounds"]["proofs"][2], "step_gain"), (stored["bounds"], "unforced"), (stored, "rate")):
        value = part.pop(name)
        with pytest.raises(InputError, match=f"certificate: {name} missing; .*observer certify RUN"):
            Certificate.from_data(stored)
        part[name] = value


def test_a_region_is_checked_before_anything_is_searched():
    plant = cart()
    observer = linear_observer(plant)
    with pytest.raises(InputError, match=r"region has shape \(1, 2\); expected \(2, 2\) for position, velocity"):
        certify(observer, plant, region=[[-1, 1]])
    with pytest.raises(InputError, match=r"region of 'velocity' is \(1, -1\); expected two finite numbers"):
        certify(observer, plant, region=[[-1, 1], [1, -1]])


def test_many_dimensions_get_statistics_and_never_the_word_proved():
    n = 12
    plant = discretize(
        System(
            name="line",
            states=[Signal(f"x{i}", "", (-1.0, 1.0)) for i in range(n)],
            outputs=[Signal("y", "")],
            dynamics=lambda x: [-x[i] + 0.1 * x[(i + 1) % n] for i in range(n)],
            output=lambda x: [x[0]],
            dt=0.1,
            duration=2.0,
        ),
        method="euler",
    )
    A = plant.jacobian(np.zeros((1, n)), np.zeros((1, 0)))[0][0]
    weights = ExplicitREN.with_identity_output(
        A, np.zeros((n, 0)), np.zeros((n, 1)), np.zeros((0, n)), np.zeros((0, 0)), np.zeros((0, 1)), 1e-3 * np.ones(n),
        np.zeros(0),
    )  # fmt: skip
    scaling = Scaling(np.zeros(n), np.ones(n), np.zeros(1), np.ones(1))
    observer = RENObserver(weights, np.eye(n), np.zeros(0), 0.995, scaling, {}, plant)
    certificate = certify(observer, plant, budget=1.0)
    bounds = certificate.bounds
    assert bounds.kind == "statistical" and not bounds.proofs and bounds.horizon is None
    assert bounds.reason.startswith("Statistical, not proved") and "%" in bounds.reason
    s = bounds.statistical
    assert s.residual == pytest.approx(1e-3 * np.sqrt(n), rel=1e-6) and s.trials >= 25
    with pytest.raises(InputError, match="no envelope"):
        ultimate_bound(certificate)
    again = Certificate.from_data(json.loads(json.dumps(certificate.to_data())))
    assert again.bounds.statistical.sentence == s.sentence


def test_the_experiment_at_toy_size_is_sound_and_resumes(tmp_path, monkeypatch):
    size = CertificatesSize(4, 1.0, 0.2, 60, 12, ("box",), 30, 0.05, name="smoke")
    experiment, said = named("certificates"), []
    assert run_experiment(experiment, tmp_path, size=size, report=said.append) == 0
    document = json.loads((tmp_path / "metrics.json").read_text())
    row = document["plants"]["box"]
    assert document["passed"] and row["sound"] and row["trials"]["fresh"]["trials"] == 60
    assert row["trials"]["adversarial"]["trials"] == 12 and row["ratio"] >= 1
    assert row["trials"]["fresh"]["closest"] <= 1 and row["trials"]["adversarial"]["reached"] <= 1
    page = (tmp_path / "report.html").read_text()
    assert "crossed the envelope" in page and "0 of" in page
    monkeypatch.setattr(
        "experiments.named.certificates.run.try_certificate", lambda *a, **k: pytest.fail("measured again")
    )
    assert run_experiment(experiment, tmp_path, size=size, report=said.append) == 0
    with pytest.raises(InputError, match="--rows names mars; expected some of box"):
        run_experiment(experiment, tmp_path, rows="mars", size=size)


def test_a_fit_of_other_options_is_not_taken_for_this_one(tmp_path, monkeypatch):
    class Seen(Exception):
        pass

    def stop(observer, plant, **_):
        raise Seen(f"{observer.weights.nv} neurons")

    fits = []
    fit = importlib.import_module("observer.fitting.fit").fit
    monkeypatch.setattr("observer.certify", stop, raising=False)
    monkeypatch.setattr("observer.fit", lambda *a, **k: fits.append(1) or fit(*a, **k), raising=False)
    for neurons, count in ((2, 1), (2, 1), (3, 2)):
        with pytest.raises(Seen, match=f"{neurons} neurons"):
            try_certificate("double_integrator", CertificatesSize(neurons=neurons, budget=0.2), 0, tmp_path)
        assert len(fits) == count
