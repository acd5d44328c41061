"""Commands that take a recipe: run, plan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deltaworks import formatting
from deltaworks.cli.flags import BUNDLED, Json, Resume, bundled_text
from deltaworks.cli.output import print_json, print_table, say
from deltaworks.cli.reports import show_report
from deltaworks.cli.session import job

if TYPE_CHECKING:
    from deltaworks.engine.plan_types import ParameterRow, Plan
    from deltaworks.recipes.schema import Recipe

RecipeFile = Annotated[
    Path, typer.Argument(metavar="RECIPE", help="A recipe as JSON or YAML, or a mergekit file.")
]
Elsewhere = Annotated[
    Path | None, typer.Option("-o", "--out", help="Where the result goes, instead.")
]


def read_recipe(path: Path, out: Path | None) -> Recipe:
    """Read a recipe, with another output when one is given."""
    from deltaworks.recipes import load_recipe

    recipe = load_recipe(path, output=str(out.absolute()) if out else "")
    texts = getattr(recipe, "calibration", None)
    if texts is None or texts.text not in BUNDLED:
        return recipe
    texts = texts.model_copy(update={"text": bundled_text(texts.text)})
    return recipe.model_copy(update={"calibration": texts})


def run(
    recipe: RecipeFile, out: Elsewhere = None, resume: Resume = False, as_json: Json = False
) -> None:
    """Do the job that a recipe describes, of any kind."""
    from deltaworks.studies.jobs import run_job

    document = read_recipe(recipe, out)
    with job() as control:
        report = run_job(document, control, resume=resume)
    show_report(report, as_json=as_json)


def plan(recipe: RecipeFile, out: Elsewhere = None, as_json: Json = False) -> None:
    """Say what a recipe would read, write and cost, without running it."""
    from deltaworks.studies.jobs import plan_job

    show_plan(plan_job(read_recipe(recipe, out)), as_json=as_json)


def show_plan(found: Plan, *, as_json: bool) -> None:
    """Print a plan: as a document, or as what a person wants to know of it."""
    if as_json:
        print_json(plan_facts(found))
        return
    say(found.title)
    print_table(
        ("", ""),
        [
            ("Reads", formatting.size(found.read_bytes)),
            ("Writes at most", formatting.size(found.write_bytes)),
            ("Largest item in memory", formatting.size(found.peak_bytes)),
            ("Work items", str(len(found.items))),
        ],
    )
    for output in found.outputs:
        low, high = formatting.size(output.bytes_low), formatting.size(output.bytes_high)
        say(f"{output.path}: {low} to {high}")
    checked = {check.text for check in found.checks}
    for check in found.checks:
        say(f"{check.level.capitalize()}: {check.text}")
    for note in found.notes:
        if note not in checked:
            say(f"Note: {note}")
    if found.parameters:
        show_parameters(found.parameters)


def show_parameters(rows: Sequence[ParameterRow]) -> None:
    """Print the resolved parameters; layers that are made alike share a line."""
    lines: dict[tuple[str, ...], list[int]] = {}
    for row in rows:
        values = "; ".join(filter(None, (_options(row.common), *map(_options, row.each))))
        some = ", ".join(row.tensors[:2]) + (
            f" and {len(row.tensors) - 2} more" * (len(row.tensors) > 2)
        )
        line = (some, row.method, " + ".join(row.sources), values)
        lines.setdefault(line, []).append(-1 if row.layer is None else row.layer)
    print_table(
        ("Layers", "Tensors", "Method", "From", "Parameters"),
        [(_layers(layers), *line) for line, layers in lines.items()],
    )


def _options(values: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in values.items()
    )


def _layers(layers: Sequence[int]) -> str:
    """``0–3, 5``; nothing for tensors outside of layers."""
    parts: list[list[int]] = []
    for layer in sorted(set(layers) - {-1}):
        if parts and layer == parts[-1][-1] + 1:
            parts[-1] = [parts[-1][0], layer]
        else:
            parts.append([layer])
    return ", ".join("–".join(map(str, part)) for part in parts)


def plan_facts(plan: Plan) -> dict[str, Any]:
    """A plan under the documented keys."""
    return {
        "title": plan.title,
        "read_bytes": plan.read_bytes,
        "write_bytes": plan.write_bytes,
        "peak_bytes": plan.peak_bytes,
        "work_bytes": plan.work_bytes,
        "original_bytes": plan.original_bytes,
        "outputs": [asdict(output) for output in plan.outputs],
        "notes": list(plan.notes),
        "checks": [asdict(check) for check in plan.checks],
        "parameters": [asdict(row) for row in plan.parameters],
        "items": [asdict(item) for item in plan.items],
    }
