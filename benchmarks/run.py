"""Measures Deltaworks beside its peers and prints tables; asserts nothing about speed.

    make bench ARGS="--size small --only merge --pairs 3 --json results.json"

MERGEKIT_PYTHON may name an interpreter that has mergekit. Linux and macOS only.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks import compress, library, lossless, merge, models, rebuild, start, svd  # noqa: E402
from benchmarks.contests import Result, Setup  # noqa: E402
from benchmarks.measuring import BenchmarkError  # noqa: E402
from benchmarks.tables import table  # noqa: E402

SUBJECTS: dict[str, Callable[[Setup], Iterator[Result]]] = {
    "merge": merge.results,
    "compress": compress.results,
    "rebuild": rebuild.results,
    "library": library.results,
    "lossless": lossless.results,
    "start": start.results,
    "svd": svd.results,
}


def main(arguments: list[str] | None = None) -> int:
    """Run the chosen subjects."""
    chosen = parse(arguments)
    chosen.cache.mkdir(parents=True, exist_ok=True)
    setup = Setup(
        size=chosen.size,
        pairs=chosen.pairs,
        threads=chosen.threads,
        cache=chosen.cache,
        mergekit=os.environ.get("MERGEKIT_PYTHON", ""),
        case=chosen.case,
        plain=chosen.plain,
    )
    before = os.getloadavg()
    found: dict[str, list[Result]] = {}
    faults = 0
    for subject in chosen.only or SUBJECTS:
        found[subject] = []
        for result in _measured(subject, setup):
            if isinstance(result, BenchmarkError):
                faults += 1
                print(f"{subject} stopped here: {result}", file=sys.stderr, flush=True)
                continue
            found[subject].append(result)
            print(
                f"{result.case}: {result.contestant}: {result.median('cpu'):.2f} CPU s", flush=True
            )
        print(f"\n{table(found[subject])}\n", flush=True)
    loads = [run.load for results in found.values() for one in results for run in one.runs]
    print(f"Load of the machine during the runs: {min(loads):.1f} to {max(loads):.1f}.")
    if chosen.json:
        document = {
            "date": time.strftime("%Y-%m-%d"),
            "size": setup.size,
            "shape": models.facts(models.SIZES[setup.size]),
            "pairs": setup.pairs,
            "threads": setup.threads,
            "load_before": before,
            "load_after": os.getloadavg(),
            "subjects": {
                name: [one.as_json() for one in results] for name, results in found.items()
            },
        }
        chosen.json.write_text(json.dumps(document, indent=1) + "\n")
    return 1 if faults else 0


def _measured(subject: str, setup: Setup) -> Iterator[Result | BenchmarkError]:
    """Give a subject's results; a command that ends badly ends its subject, not the others."""
    try:
        yield from SUBJECTS[subject](setup)
    except BenchmarkError as error:
        yield error


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--size", choices=models.SIZES, default="small", help="size of the models")
    parser.add_argument("--only", action="append", choices=SUBJECTS, help="may be repeated")
    parser.add_argument("--case", default="", metavar="TEXT", help="such as linear")
    parser.add_argument("--plain", action="store_true", help="plain scripts merge as well")
    parser.add_argument("--pairs", type=int, default=3, metavar="N", help="rounds, A B A B")
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="0: as each likes")
    parser.add_argument("--json", type=Path, metavar="OUT", help="every run, as JSON")
    parser.add_argument(
        "--cache",
        type=Path,
        default=ROOT / ".cache" / "benchmarks",
        metavar="DIR",
        help="models and passing results; needs about 7 times the size of a model",
    )
    return parser.parse_args(arguments)


if __name__ == "__main__":
    raise SystemExit(main())
