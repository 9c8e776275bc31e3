"""The swings: 30 logs of a real double pendulum at 250 Hz, both angles measured, rates worked out from them as reference."""

from pathlib import Path

from systems.base.errors import InputError
from systems.recordings import read_recordings
from systems.system import System
from systems.trajectories import Trajectories

SHARED = Path(__file__).resolve().parents[4] / "shared" / "data" / "double_pendulum"
SOURCE = "dynamicslab/MultiArm-Pendulum (MIT)"
COLUMNS = {"angle1": "theta1", "angle2": "theta2"}


def swings(folder: Path | None, system: System, count: int) -> tuple[Trajectories, Trajectories]:
    """(the first ``count`` swings to fit, those that are held out); y the angles, x angles and reference rates.

    Raises :class:`InputError` in one line where the files are not there.
    """
    place = SHARED if folder is None else Path(folder)
    fit, held_out = (sorted(place.glob(f"{kind}_*.csv")) for kind in ("fit", "held_out"))
    if not fit or not held_out:
        raise InputError(
            f"{place} has no fit_*.csv and held_out_*.csv; give the folder of the logs of {SOURCE} with --data "
            "(columns time, theta1, theta2, omega1, omega2)"
        )
    spread = [fit[round(k * (len(fit) - 1) / max(count - 1, 1))] for k in range(min(count, len(fit)))]
    first, second = (read_recordings(files, system, columns=COLUMNS) for files in (spread, held_out))
    return first, second
