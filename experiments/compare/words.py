"""The numbers in sentences: where each estimator is best, where it breaks, and when to prefer which."""

from collections.abc import Collection, Mapping, Sequence

import numpy as np

from experiments.compare.measure import Result, as_good

Table = Mapping[str, Mapping[str, Result]]  # scenario -> estimator -> result


def listed(words: Sequence[str]) -> str:
    """``a, b and c``."""
    words = list(words)
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}" if words else ""


def of_scenario(results: Mapping[str, Result], names: Mapping[str, str]) -> str:
    """One sentence on who is best in a scenario, and who lost trials."""
    good = as_good(results)
    if not good:
        text = "Every estimator diverged in some trial."
    else:
        best = results[good[0]]
        text = f"Smallest error: {names[good[0]]}, {best.score:.3g} % of the ranges"
        text += f" ({best.score_interval[0]:.3g} to {best.score_interval[1]:.3g})."
        if len(good) > 1:
            text += f" Statistically equal over {best.trials} trials: {listed([names[n] for n in good[1:]])}."
    lost = [f"{names[n]} ({r.diverged} of {r.trials})" for n, r in results.items() if r.diverged]
    return f"{text} Diverged: {listed(lost)}." if lost else text


def of_estimator(name: str, table: Table, titles: Mapping[str, str]) -> str:
    """Where one estimator is best, where it loses trials, and how far it is from the best at its worst."""
    here = {scenario: results for scenario, results in table.items() if name in results}
    best = [titles[c] for c, results in here.items() if name in as_good(results)]
    lost = [titles[c] for c, results in here.items() if results[name].diverged]
    parts = []
    if len(best) == len(here) and here:
        parts.append("best, or statistically equal to the best, in every scenario")
    elif best:
        parts.append(f"best, or statistically equal to the best, in: {'; '.join(best)}")
    else:
        parts.append("never among the best")
    if lost:
        parts.append(f"diverged in some trial of: {'; '.join(lost)}")
    gaps = [(factor(results, name), titles[c]) for c, results in here.items()]
    gaps = [gap for gap in gaps if np.isfinite(gap[0])]
    if gaps:
        worst, where = max(gaps)
        if worst > 1.05:
            parts.append(f"furthest from the best in: {where} ({worst:.3g} times its error)")
    return "; ".join(parts) + "."


def factor(results: Mapping[str, Result], name: str) -> float:
    """Error of an estimator over the smallest error of those without diverged runs."""
    good = as_good(results)
    return results[name].score / max(results[good[0]].score, 1e-300) if good else float("nan")


def advice(
    table: Table, names: Mapping[str, str], titles: Mapping[str, str], proved: Collection[str] = ()
) -> tuple[str, ...]:
    """When to prefer which: the one that is best most often, the most even, those proved to converge, and those that
    diverged in some trial."""
    estimators = list(dict.fromkeys(name for results in table.values() for name in results))
    if not estimators or not table:
        return ()
    wins = {n: sum(n in as_good(results) for results in table.values()) for n in estimators}
    most = max(wins.values())
    lines = []
    if most:
        leaders = listed([names[n] for n in estimators if wins[n] == most])
        lines.append(f"Most often among the best: {leaders}, in {most} of {len(table)} scenarios.")
    everywhere = [
        n for n in estimators if all(n in r and r[n].diverged == 0 and np.isfinite(r[n].score) for r in table.values())
    ]
    if everywhere:
        ratios = {n: max(factor(results, n) for results in table.values()) for n in everywhere}
        even = min(ratios, key=lambda n: ratios[n])
        lines.append(
            f"No run diverged for {listed([names[n] for n in everywhere])}. The most even of them is {names[even]}: at its worst "
            f"{ratios[even]:.3g} times the smallest error."
        )
    certain = [n for n in estimators if n in proved]
    if certain:
        text = f"Proved to converge from every initial state: {listed([names[n] for n in certain])}"
        ratios = {n: factor(table["noise"], n) for n in certain if n in table.get("noise", {})}
        if ratios:
            ratio_words = listed([f"{ratio:.3g} times ({names[n]})" for n, ratio in ratios.items()])
            text += f"; with noise as stated they are at {ratio_words} the smallest error"
        lines.append(f"{text}. Nothing is proved of the others.")
    broken = [n for n in estimators if any(n in r and r[n].diverged for r in table.values())]
    if broken:
        lines.append(f"Diverged in some trial, so monitor them in use: {listed([names[n] for n in broken])}.")
    return tuple(lines)
