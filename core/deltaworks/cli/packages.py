"""Commands for packages of channel-merged experts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from deltaworks import formatting
from deltaworks.cli.flags import MEMORY, Base, Json, Memory, Out, Seed, Threads, common, reference
from deltaworks.cli.output import print_json, print_table, say
from deltaworks.cli.session import job


def channel_merge(
    base: Annotated[Path, typer.Argument(metavar="BASE", help="The base model.")],
    experts: Annotated[list[Path], typer.Argument(help="Fine-tunes of it.", metavar="EXPERT...")],
    out: Out,
    groups: Annotated[int, typer.Option("-k", "--groups", min=1, help="Variants a channel.")] = 2,
    geometry: Annotated[str, typer.Option(help="cosine or euclidean.")] = "cosine",
    rule: Annotated[str, typer.Option(help="mean, ties, dare or sum.")] = "mean",
    store: Annotated[str, typer.Option(help="weights, or deltas over the base.")] = "weights",
    memory: Memory = MEMORY,
    threads: Threads = 0,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Put fine-tunes into one package that shares what they changed alike."""
    from deltaworks.recipes import parse_recipe
    from deltaworks.studies.jobs import run_job

    recipe = parse_recipe(
        {
            "kind": "channel-merge",
            "base": reference(base),
            "experts": [reference(expert) for expert in experts],
            "options": {"groups": groups, "geometry": geometry, "rule": rule},
            "store": store,
            "output": str(out.absolute()),
            **common(seed, "cpu", memory, threads),
        },
        where="channel-merge",
    )
    with job() as control:
        report = run_job(recipe, control)
    if as_json:
        print_json(report.as_json())
        return
    _show(report.results["channels"])
    say(f"{report.artefacts[0].path} ({formatting.size(report.artefacts[0].file_bytes)})")


def _show(facts: dict[str, Any]) -> None:
    headers = ("Counted as", "Groups", "Index", "Own tensors", "Base", "All", "Of the experts")
    rows = []
    for title, key in (("weights", "as_weights"), ("deltas over the base", "as_deltas")):
        one = facts[key]
        sizes = [formatting.size(one[name]) for name in ("groups", "index", "own", "base", "total")]
        rows.append((title, *sizes, formatting.percent(one["ratio"])))
    print_table(headers, rows, right=headers[1:])
    error = formatting.percent(facts["error"])
    say(f"Error of the changes: {error}. Experts: {', '.join(facts['experts'])}.")


def materialise(
    package: Annotated[Path, typer.Argument(metavar="PACKAGE", help="A package of experts.")],
    out: Out,
    expert: Annotated[
        str, typer.Option(help="Its name; several with weights: sums=0.5+topics=0.5.")
    ],
    base: Base = None,
) -> None:
    """Make the full model of one expert of a package, or of a weighted few."""
    from deltaworks.engine.materialise import materialise as write

    with job() as control:
        path = str(package.absolute().with_name(f"{package.name}#{expert}"))
        n_bytes = write(path, out.absolute(), control, base=str(base.absolute()) if base else "")
    say(f"{out.absolute()} ({formatting.size(n_bytes)})")


def train_router(
    package: Annotated[Path, typer.Argument(metavar="PACKAGE", help="A package of experts.")],
    texts: Annotated[
        list[str],
        typer.Option("--texts", metavar="NAME=FILE", help="A .jsonl of an expert's prompts."),
    ],
    base: Base = None,
    prototype: Annotated[
        bool, typer.Option("--prototype", help="Compare with means instead of training.")
    ] = False,
    seed: Seed = 0,
) -> None:
    """Teach a package which expert an instruction is for."""
    from deltaworks.checkpoints import open_checkpoint
    from deltaworks.evaluation import load_suite
    from deltaworks.inference.running import load_model
    from deltaworks.training import expert_router as routing

    prompts = {}
    for pair in texts:
        name, equals, path = pair.partition("=")
        if not equals:
            raise typer.BadParameter(f"'{pair}' is no NAME=FILE")
        items = [item for task in load_suite(Path(path)).tasks for item in task.items]
        prompts[name] = [item.prompt for item in items]
    with job() as control, open_checkpoint(_needed(base)) as model:
        running = load_model(model, control=control.silent())
        states = {
            name: routing.last_states(running, every, control) for name, every in prompts.items()
        }
        if prototype:
            router = routing.prototype_router(states)
        else:
            router = routing.train_router(states, control, seed=seed)
    right = [router.choose(one) == name for name, every in states.items() for one in every]
    file = router.save(package.absolute())
    say(f"{file}: {formatting.percent(sum(right) / len(right))} of its own prompts are right")


def route(
    package: Annotated[Path, typer.Argument(metavar="PACKAGE", help="A package of experts.")],
    prompt: Annotated[str, typer.Argument(metavar="PROMPT", help="An instruction.")],
    base: Base = None,
    as_json: Json = False,
) -> None:
    """Name the expert of a package that an instruction is for."""
    from deltaworks.checkpoints import open_checkpoint
    from deltaworks.inference.running import load_model
    from deltaworks.training.expert_router import last_states, load_router

    with job() as control, open_checkpoint(_needed(base)) as model:
        router = load_router(package.absolute())
        (states,) = last_states(load_model(model, control=control.silent()), [prompt], control)
    shares = dict(zip(router.experts, map(float, router.shares(states)), strict=True))
    if as_json:
        print_json({"expert": router.choose(states), "shares": shares})
        return
    say(f"{package}#{router.choose(states)}")
    for name, share in shares.items():
        say(f"  {name}: {formatting.percent(share)}")


def _needed(base: Path | None) -> Path:
    if base is None:
        raise typer.BadParameter("the base runs the router: give --base")
    return base
