"""``python -m tests.fuzz [ENTRY ...] [--count N] [--seed S] [--index K --keep] [--json FILE]``, or ``--serve`` for the tests."""

import argparse
import json
import sys
from pathlib import Path

from tests.fuzz.server import Server  # first: it sets the number of threads


def main() -> int:
    """1 where there are findings."""
    from tests.fuzz.campaign import ENTRIES, grouped, run

    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("entries", nargs="*", metavar="ENTRY", help=", ".join(ENTRIES))
    parser.add_argument("--count", type=int, default=100, help="inputs of each entry point")
    parser.add_argument("--first", type=int, default=0, help="the first of them")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--index", type=int, help="only this input")
    parser.add_argument("--keep", action="store_true", help="keep the folders of the inputs, and say where they are")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all findings")
    parser.add_argument(
        "--serve", action="store_true", help="answer lines `ENTRY SEED COUNT` of stdin with lines of JSON"
    )
    given = parser.parse_args()
    server = Server()
    if given.serve:
        _serve(server)
        return 0
    indices = range(given.first, given.first + given.count) if given.index is None else [given.index]
    rows = []
    for entry in given.entries or ENTRIES:
        tally = run(server, entry, given.seed, indices, keep=given.keep)
        rows.append(tally.row())
        print(tally.line(), *_shown(grouped(tally.findings)), sep="\n", flush=True)
    if given.json:
        given.json.write_text(json.dumps(rows, indent=1))
    if given.keep:
        print(f"kept in {server.root}")
        for place in sorted(server.root.glob("*-*")) if given.index is not None else ():
            print(
                *_shown(
                    [
                        (place / name).read_text(errors="replace")[-3000:]
                        for name in ("case.json", "stdout", "stderr")
                        if (place / name).is_file()
                    ]
                ),
                sep="\n",
            )
    else:
        server.close()
    return int(any(row["findings"] for row in rows))


def _shown(texts: list[str]) -> list[str]:
    """What a terminal may be sent."""
    return ["".join(c if c.isprintable() or c == "\n" else f"\\x{ord(c):02x}" for c in text) for text in texts]


def _serve(server: Server) -> None:
    from tests.fuzz.campaign import run

    print("ready", flush=True)
    for line in sys.stdin:
        entry, seed, count = line.split()
        print(json.dumps(run(server, entry, int(seed), range(int(count))).row()), flush=True)
    server.close()


if __name__ == "__main__":
    sys.exit(main())
