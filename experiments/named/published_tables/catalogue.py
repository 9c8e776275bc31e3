"""All rows of the published tables in their order, and the choice of some of them by name."""

from experiments.named.published_tables import box_rows, default_rows, hyperkkl, pde_rows, refusal_rows
from experiments.named.published_tables.rows import Row
from systems.base.errors import InputError

#: group -> heading in the report
GROUPS = {
    "box": "Box observer (arXiv 2306.12612): published model, and the true ODE",
    "pde": "Reaction-diffusion observer (arXiv 2306.12612), plant of the published code",
    "hyperkkl": "HyperKKL (2026): SMAPE of driven oscillators",
    "lorenz": "Lorenz, y = x2, by the protocol of HyperKKL",
    "defaults": "The library from defaults alone",
    "refused": "Refused before training",
}


def all_rows() -> tuple[Row, ...]:
    """Every row."""
    return (*box_rows.rows(), *pde_rows.rows(), *hyperkkl.rows(), *default_rows.rows(), *refusal_rows.rows())


def choose(names: str | None) -> tuple[Row, ...]:
    """Rows by comma-separated names or groups (``box,hyperkkl.duffing``), in table order; all when left out."""
    rows = all_rows()
    if names is None:
        return rows
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    known = {row.name for row in rows} | {row.group for row in rows}
    for name in wanted:
        if name not in known:
            raise InputError(
                f"row '{name}' is not known; expected a group ({', '.join(dict.fromkeys(r.group for r in rows))}) "
                f"or a row such as {rows[0].name}, comma-separated"
            )
    if not wanted:
        raise InputError("rows is empty; give names such as box,hyperkkl.duffing, or leave it out for all")
    return tuple(row for row in rows if row.name in wanted or row.group in wanted)


def parse_seeds(text: str | None, default: str = "0-4") -> tuple[int, ...]:
    """``"0-4"``, ``"0,2,5-7"`` or ``"3"`` as ascending seeds."""
    seeds: set[int] = set()
    for part in (default if text is None else text).split(","):
        low, dash, high = part.strip().partition("-")
        if not low.isdigit() or (dash and not high.isdigit()) or (dash and int(high) < int(low)):
            raise InputError(f"seeds is '{text}'; expected numbers and spans of them, as 0-4 or 0,2,5")
        seeds.update(range(int(low), int(high or low) + 1))
    if max(seeds) >= 2**31 or len(seeds) > 1000:
        raise InputError(f"seeds is '{text}'; expected at most 1000 seeds below 2^31")
    return tuple(sorted(seeds))
