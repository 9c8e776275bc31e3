"""Stop the program at its import number N, for many N: the body of test_stops.py, in a process of its own that may fork.

Usage: python stop_points.py SIGNAL TIMES N,N,... WORDS... Prints one JSON list: [N, exit code, stderr] each. An N that is never
reached leaves the program alone.
"""

import json
import os
import signal
import sys


class Stopper:
    """A finder that finds nothing, and sends the signal when it is asked for the module number ``at``."""

    def __init__(self, number: int, times: int, at: int) -> None:
        self.number, self.times, self.left = number, times, at

    def find_spec(self, *_: object) -> None:
        self.left -= 1
        if self.left == 0:
            for _ in range(self.times):
                os.kill(os.getpid(), self.number)


def ended(number: int, times: int, at: int, words: list[str]) -> tuple[int, str]:
    """(exit code, stderr) of the program with these words in a child that is stopped at its import ``at``."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.dup2(writer, 2)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        sys.argv = ["observer", *words]
        from experiments.cli import main

        sys.meta_path.insert(0, Stopper(number, times, at))  # type: ignore[arg-type]
        main()
    os.close(writer)
    with os.fdopen(reader) as pipe:
        said = pipe.read()
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), said


if __name__ == "__main__":
    number, times = getattr(signal, sys.argv[1]), int(sys.argv[2])
    print(json.dumps([[n, *ended(number, times, n, sys.argv[4:])] for n in map(int, sys.argv[3].split(","))]))
