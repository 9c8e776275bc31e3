"""The named experiments: one value each, whose package is imported only when it is run."""

from experiments.runner import Experiment

EXPERIMENTS = (
    Experiment(
        "box",
        "a box on a spring, velocity from position: the published recipe and ours, side by side",
        ("neurons", "iterations", "settling_time", "trials", "activation", "solver", "budget", "full"),
    ),
    Experiment(
        "pde",
        "a reaction-diffusion line of 51 nodes measured at one: the published weights and ours",
        ("neurons", "iterations", "trials", "budget"),
    ),
    Experiment(
        "ablation",
        "what each ingredient of the fit is worth: initial weights, neurons, solver, activation, rate margin, data",
        ("budget", "full"),
    ),
    Experiment(
        "published_tables",
        "every published protocol under the same settings: ours, median and worst of five seeds, beside the published value",
        ("rows", "seeds"),
    ),
    Experiment(
        "certificates",
        "proved bounds against 13,809 fresh trials and 200 adversarial initial states on six plants, and how tight they are",
        ("rows", "neurons", "budget"),
    ),
    Experiment(
        "curve_fit",
        "an LBDN of bound 10 fits a step: how much of the allowed slope it uses",
        ("iterations", "activation"),
    ),
    Experiment(
        "contracting",
        "two solutions of a contracting REN converge, within the certified envelope",
        ("activation",),
    ),
    Experiment(
        "rl_box",
        "a controller of bounded gain for the box, learned through its simulation; what rebuilding at every call costs",
        ("iterations", "neurons"),
    ),
    Experiment(
        "echo_state",
        "control under |u| <= 5: a random contracting network and a convex program, against the best linear one",
        ("neurons",),
    ),
    Experiment(
        "system_identification",
        "contracting and Lipschitz RENs against GRU and LSTM of equal size; --data DIR: the F16 files",
        ("data", "iterations", "neurons"),
    ),
    Experiment(
        "scaling",
        "how large RENs and R2DNs can be: conditioning of H, margin of the certificate, float32, time, up to nx = nv = 2048",
    ),
    Experiment(
        "mnist",
        "Lipschitz-bounded classifiers under noise and attack, certified below attacked; MNIST with --data, digits without",
        ("data",),
    ),
    Experiment(
        "robustness_comparison",
        "LBDN against adversarial training, randomised smoothing and interval bounds: certified, attacked, time",
        ("data", "rows"),
    ),
    Experiment(
        "double_pendulum",
        "a real double pendulum: calibrated from its angles alone, rates on held-out swings beside EKF, UKF and MHE",
        ("data", "neurons", "iterations"),
    ),
    Experiment(
        "linear_observer",
        "linear plants, where the right observer is known: matrices, gain, error dynamics and noise of the fit",
        ("rows",),
    ),
    Experiment(
        "activations",
        "relu, tanh and sigmoid: accuracy, tightness of the certified bounds, and speed, of LBDN and observers",
        ("neurons",),
    ),
)


def named(name: str) -> Experiment:
    """The experiment of this name. Raises InputError that names the known ones."""
    from systems.base.errors import InputError

    known = {item.name: item for item in EXPERIMENTS}
    if name not in known:
        raise InputError(f"experiment '{name}' is not known; expected one of {', '.join(known)}")
    return known[name]
