"""``observer fine-tune``: a whole run from a fitted one, which stays as it is; the same command finds it done."""

import json

from observer import load_run
from observer.storage import file_hash


def test_a_tuned_run_is_whole_says_where_it_came_from_and_leaves_its_source_alone(observer, quick, tmp_path):
    source, out = tmp_path / "a", tmp_path / "b"
    observer("run", "van_der_pol", "--out", source, *quick)
    before = {path.name: file_hash(path) for path in source.iterdir() if path.is_file()}
    words = ["fine-tune", source, "--out", out, "--noise", "0.05", "--horizon", 20, "--iterations", 4, "--quiet"]
    answer = observer(*words)
    assert answer.code in (0, 1) and "verdict" in answer.out, answer.err
    assert before == {path.name: file_hash(path) for path in source.iterdir() if path.is_file()}
    run = load_run(out)
    assert run.fit.solver == "fine_tune" and run.certificate.holds and run.system.outputs[0].noise == 0.05
    assert run.certificate.rate <= run.observer.contraction_rate + 1e-9
    tuned = json.loads((out / "metrics.json").read_text())["fine_tuning"]
    assert tuned["source"] == str(source) and [item["name"] for item in tuned["conditions"]][:2] == [
        "no noise",
        "noise",
    ]
    assert (out / "figures" / "fine_tuning.png").is_file() and "Before and after fine-tuning" in (
        out / "report.html"
    ).read_text()
    weights = file_hash(out / "observer.safetensors")
    assert observer(*words).code == answer.code and file_hash(out / "observer.safetensors") == weights
    assert observer("verify", out, "--fast").code == 0
    refused = observer("fine-tune", source, "--out", out, "--noise", "0.1", "--quiet")
    assert refused.code == 2 and "fine_tune.noise" in refused.err and "--fresh" in refused.err
    assert observer("fit", out).code == 2
    assert observer("fine-tune", source, "--out", source, "--noise", "0.1").code == 2
