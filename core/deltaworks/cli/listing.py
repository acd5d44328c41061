"""Commands that look: scan, inspect, compare, verify, methods."""

from __future__ import annotations

import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deltaworks import formatting
from deltaworks.cli.flags import Base, Json
from deltaworks.cli.output import print_json, print_table, say
from deltaworks.cli.session import job
from deltaworks.errors import FileError

if TYPE_CHECKING:
    from deltaworks.library.rows import ModelRow

_LISTED = 20


def scan(
    paths: Annotated[list[Path], typer.Argument(help="Folders or files.", metavar="PATH...")],
    subfolders: Annotated[bool, typer.Option(help="Look into subfolders.")] = True,
    families: Annotated[
        bool, typer.Option(help="Find families by comparing a few weights of each model.")
    ] = True,
    duplicates: Annotated[
        bool, typer.Option("--duplicates", help="Hash models that may be copies of each other.")
    ] = False,
    as_json: Json = False,
) -> None:
    """List models with role, family, size and state."""
    from deltaworks.library.home import Home
    from deltaworks.library.library import Library

    with tempfile.TemporaryDirectory() as folder, job() as control:
        library = Library(Home(Path(folder)))
        try:
            for path in paths:
                library.add_root(path, subfolders=subfolders)
            library.scan(control)
            if families:
                library.relate(control)
            if duplicates:
                library.hash_contents(control)
            rows, sizes = library.rows(), library.sizes()
        finally:
            library.close()
    if as_json:
        print_json({"models": [_model(row) for row in rows], "totals": asdict(sizes)})
        return
    _print_rows(rows)
    say(
        f"{sizes.models} models · {formatting.size(sizes.on_disk)} on disk · "
        f"{formatting.size(sizes.shared)} shared · {formatting.size(sizes.saved)} saved"
    )


def _print_rows(rows: list[ModelRow]) -> None:
    print_table(
        ("Name", "Role", "Family", "Parameters", "Type", "On disk", "State", "Location", "Note"),
        [
            (
                row.name,
                row.role,
                row.family or "?",
                formatting.count(row.n_parameters),
                row.dtype,
                formatting.size(row.size_bytes),
                str(row.state),
                row.path,
                row.reason,
            )
            for row in rows
        ],
        right=("Parameters", "On disk"),
    )


def _model(row: ModelRow) -> dict[str, Any]:
    """A row as the documented keys."""
    data = asdict(row)
    for internal in ("id", "family_id", "root", "used_ns", "role_is_set"):
        del data[internal]
    return data | {"saved_bytes": row.saved_bytes}


def inspect(
    model: Annotated[
        Path, typer.Argument(metavar="MODEL", help="A model, an adapter or a delta file.")
    ],
    base: Base = None,
    as_json: Json = False,
) -> None:
    """Show a model's tensors with their roles, and a delta's manifest and report."""
    from deltaworks.checkpoints import open_checkpoint
    from deltaworks.cli.details import checkpoint_facts, print_facts

    with open_checkpoint(model, base=base) as checkpoint:
        facts = checkpoint_facts(checkpoint)
    if as_json:
        print_json(facts)
    else:
        print_facts(facts)


def compare(
    first: Annotated[Path, typer.Argument(metavar="A", help="The base, or the older one.")],
    second: Annotated[Path, typer.Argument(metavar="B", help="The fine-tune, or the newer one.")],
    top: Annotated[int, typer.Option(min=0, help="How many tensors to list.")] = _LISTED,
    as_json: Json = False,
) -> None:
    """Compare two models: lineage verdict, headers, and every tensor's distance."""
    from deltaworks.cli.differences import compare_checkpoints, print_comparison
    from deltaworks.library.guard import match_sampled

    with job() as control:
        match = match_sampled(first, second, control)
        comparison = compare_checkpoints(first, second, control)
    data = {"a": str(first), "b": str(second), "verdict": asdict(match), **comparison}
    if as_json:
        print_json(data)
    else:
        print_comparison(data, top)


def verify(
    paths: Annotated[list[Path], typer.Argument(help="Models and delta files.", metavar="PATH...")],
    base: Base = None,
    as_json: Json = False,
) -> None:
    """Check structure and hashes; exit code 1 when anything is wrong."""
    from deltaworks.checkpoints import verify_checkpoint

    with job() as control:
        results = [
            {"path": str(path), "faults": verify_checkpoint(path, control, base=base)}
            for path in paths
        ]
    if as_json:
        print_json({"results": results})
    for result in results if not as_json else ():
        faults = "; ".join(result["faults"])
        say(f"{result['path']}: {faults or 'sound'}")
    faulty = [result for result in results if result["faults"]]
    if faulty:
        raise FileError(
            f"{len(faulty)} of {len(results)} did not pass", where=str(faulty[0]["path"])
        )


def methods(as_json: Json = False) -> None:
    """List every method with family, needs, options and source."""
    from deltaworks.methods import METHODS
    from deltaworks.options import describe

    if as_json:
        print_json(
            [
                {
                    "id": method.id,
                    "title": method.title,
                    "family": method.family,
                    "summary": method.summary,
                    "source": method.source,
                    "evidence": method.evidence,
                    "is_random": method.is_random,
                    "needs": asdict(method.needs),
                    "options": method.options.model_json_schema(),
                }
                for method in METHODS.values()
            ]
        )
        return
    print_table(
        ("Id", "Family", "Title", "Options (default)", "Source"),
        [
            (
                method.id,
                method.family,
                method.title,
                ", ".join(f"{info.name}={info.default}" for info in describe(method.options)),
                method.source,
            )
            for method in METHODS.values()
        ],
    )
