"""Finished measurements on disk: ``rows/<row>/seed-<n>.json``, each written in one step as soon as it is there.

A result belongs to its configuration (recipe, budget, size): one of another configuration is told apart and measured again, so
that a table never mixes two recipes. The fitted numbers depend on the machine's speed where a time budget ends the fit.
"""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from experiments.named.published_tables.rows import Measurement, Row, Size
from observer.storage import plain, read_json, write_json

FOLDER = "rows"


def fingerprint(row: Row, size: Size) -> str:
    """Hash of all that defines a measurement besides its seed and the code."""
    content = {"row": row.name, "recipe": dict(row.recipe), "budget": row.budget, "size": vars(size)}
    return hashlib.sha256(json.dumps(plain(content), sort_keys=True).encode()).hexdigest()[:16]


class Store:
    """The measurements of one folder."""

    def __init__(self, folder: Path, size: Size) -> None:
        self.folder, self.size = Path(folder), size

    def path(self, row: Row, seed: int) -> Path:
        """Where a measurement is kept."""
        return self.folder / FOLDER / row.name / f"seed-{seed}.json"

    def load(self, row: Row, seed: int) -> Measurement | None:
        """A finished measurement, or None where there is none of this configuration.

        Raises InputError for a file that is damaged or of a newer version.
        """
        path = self.path(row, seed)
        if not path.is_file():
            return None
        data = read_json(path)
        if data.get("fingerprint") != fingerprint(row, self.size):
            return None
        return Measurement.from_data(data["measurement"])

    def save(self, row: Row, seed: int, measurement: Measurement) -> None:
        """Keep a measurement."""
        path = self.path(row, seed)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(
            path,
            {
                "row": row.name, "seed": seed, "fingerprint": fingerprint(row, self.size), "recipe": dict(row.recipe),
                "size": vars(self.size), "measurement": measurement.to_data(),
            },
        )  # fmt: skip

    def measured(self, row: Row, seeds: Sequence[int] | None = None) -> dict[int, Measurement]:
        """All finished measurements of a row, by seed, ascending; of these seeds only, where given."""
        folder = self.folder / FOLDER / row.name
        if seeds is None:
            numbers = [path.stem.removeprefix("seed-") for path in folder.glob("seed-*.json")]
            seeds = sorted(int(number) for number in numbers if number.isdigit())
        found = {seed: self.load(row, seed) for seed in seeds}
        return {seed: measurement for seed, measurement in found.items() if measurement is not None}
