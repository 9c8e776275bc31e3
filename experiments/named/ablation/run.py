"""``observer experiment ablation``: fits one factor at a time under one time budget."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace

from experiments.named.ablation.fits import FULL, TOY, AblationSize, FitOutcome, fit_variant
from experiments.named.ablation.variants import VARIANTS, cases
from experiments.runner import Parts

__all__ = ["FULL", "TOY", "Ablation", "measure"]
FULL_SEEDS = 5


@dataclass(frozen=True)
class Ablation:
    """(case, key of the variant, seed) -> outcome."""

    size: AblationSize
    seeds: Sequence[int]
    outcomes: Mapping[tuple[str, str, int], FitOutcome]


def measure(size: AblationSize, seed: int, parts: Parts, full: bool = False) -> Ablation:
    """Fit every variant of every plant for seeds ``seed`` to ``seed + 2`` (``full``: + 4).

    An ablation passes when it is complete: its numbers are the result.
    """
    size = replace(size, seeds=FULL_SEEDS) if full else size
    seeds = range(seed, seed + size.seeds)
    jobs = [(case, variant, s) for s in seeds for case in cases() for variant in VARIANTS]
    found = {}
    for number, (case, variant, s) in enumerate(jobs, 1):
        of_fit = {name: value for name, value in size.to_data().items() if name != "seeds"}
        key = {"case": dict(case.options), "variant": dict(variant.options), "size": of_fit, "seed": s}
        part = f"fits/{case.name}/{variant.key}/seed-{s}"
        new = parts.fresh or parts.stored(part, key) is None
        outcome = FitOutcome.from_data(
            parts.keep(part, key, lambda *job: asdict(fit_variant(*job)), case, variant, s, size)
        )
        found[case.name, variant.key, s] = outcome
        if new:
            parts.say(
                f"[{number}/{len(jobs)}] {case.name}, {variant.factor}: {variant.name}, seed {s}: held-out loss {outcome.loss:.2e} "
                f"after {outcome.fit_seconds:.1f} s ({outcome.status})"
            )
    return Ablation(size, tuple(seeds), found)
