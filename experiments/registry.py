"""The named experiments: one line each, imported only when one is run."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module


@dataclass(frozen=True)
class Experiment:
    """A named experiment: ``module`` has ``run(out, *, full, seed, quiet, report, **options) -> exit code``.

    ``options``: those of the command line that only some experiments have.
    """

    name: str
    module: str
    description: str
    options: tuple[str, ...] = ()

    def load(self) -> Callable[..., int]:
        """Import the module and return its ``run``."""
        return import_module(self.module).run


EXPERIMENTS = (
    Experiment(
        "box",
        "experiments.named.box.run",
        "a box on a spring, velocity from position: the published recipe and ours, side by side",
    ),
    Experiment(
        "pde",
        "experiments.named.pde.run",
        "a reaction-diffusion line of 51 nodes seen at one: the published weights and ours",
    ),
    Experiment(
        "ablation",
        "experiments.named.ablation.run",
        "what each ingredient of the fit is worth: start, neurons, solver, activation, headroom, data",
    ),
    Experiment(
        "published_tables",
        "experiments.named.published_tables.run",
        "every published protocol at equal conditions: ours, median and worst of five seeds, beside the published value",
        options=("rows", "seeds"),
    ),
    Experiment(
        "certificates",
        "experiments.named.certificates.run",
        "proved bounds against 13,809 fresh trials and 200 adversarial starts on six plants, and how tight they are",
        options=("rows",),
    ),
    Experiment(
        "curve_fit",
        "experiments.named.curve_fit.run",
        "an LBDN of bound 10 fits a step: how much of the allowed slope it uses",
    ),
    Experiment(
        "contracting",
        "experiments.named.contracting.run",
        "two initial states of a contracting REN forget each other, within the certified envelope",
    ),
    Experiment(
        "rl_box",
        "experiments.named.rl_box.run",
        "a controller of bounded gain for the box, learned through its simulation; what rebuilding at every call costs",
    ),
    Experiment(
        "echo_state",
        "experiments.named.echo_state.run",
        "control under |u| <= 5: a random contracting network and a convex program, against the best linear one",
    ),
    Experiment(
        "system_identification",
        "experiments.named.system_identification.run",
        "contracting and Lipschitz RENs against GRU and LSTM of equal size; --data DIR: the F16 files",
        options=("data",),
    ),
    Experiment(
        "scaling",
        "experiments.named.scaling.run",
        "how large RENs and R2DNs can be: conditioning of H, margin of the certificate, float32, time, up to nx = nv = 2048",
    ),
    Experiment(
        "mnist",
        "experiments.named.mnist.run",
        "Lipschitz-bounded classifiers under noise and attack, certified below attacked; MNIST with --data, digits without",
        options=("data",),
    ),
    Experiment(
        "robustness_comparison",
        "experiments.named.robustness_comparison.run",
        "LBDN against adversarial training, randomised smoothing and interval bounds: certified, attacked, time",
        options=("data", "rows"),
    ),
    Experiment(
        "linear_observer",
        "experiments.named.linear_observer.run",
        "linear plants, where the right observer is known: matrices, gain, error dynamics and noise of the fit",
        options=("rows",),
    ),
    Experiment(
        "activations",
        "experiments.named.activations.run",
        "relu, tanh and sigmoid: accuracy, tightness of the certified bounds, and speed, of LBDN and observers",
    ),
)
