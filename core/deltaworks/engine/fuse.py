"""Fusing vision: measured, merged, copied, and written as one folder."""

from __future__ import annotations

import json
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from deltaworks.checkpoints.documents import read_object
from deltaworks.checkpoints.llava import fused_config, image_settings
from deltaworks.checkpoints.vocabulary import SETTINGS, SLOW_FILES, TOKENIZER, settings_for
from deltaworks.engine.execution import Run
from deltaworks.engine.fuse_family import family_items, measure_family
from deltaworks.engine.fuse_plan import FuseJob, open_fuse
from deltaworks.engine.merge import write_tensors
from deltaworks.engine.merge_facts import find_facts
from deltaworks.engine.merged_files import RECIPE_FILE
from deltaworks.engine.merged_tokenizer import is_tokenizer_file
from deltaworks.engine.pipeline import Tally
from deltaworks.engine.provenance import lasting_recipe
from deltaworks.engine.reports import Artefact, Report
from deltaworks.methods.fusion.family import FamilyCheck
from deltaworks.methods.fusion.visionfuse import METHOD
from deltaworks.progress import JobControl
from deltaworks.recipes import dump_recipe
from deltaworks.recipes.naming import display_name
from deltaworks.recipes.schema import FuseRecipe

Files = dict[str, Path | bytes]
_LEFT_OUT = ("architectures", "auto_map", "_name_or_path", "transformers_version")


def run_fuse(recipe: FuseRecipe, control: JobControl, *, resume: bool = False) -> Report:
    """Fuse models into one.

    Args:
        recipe: what to do.
        control: of whoever started it.
        resume: go on from what a run of this recipe that was killed has left.

    Raises:
        AppError: something was wrong with recipe, inputs or disk; nothing is left behind.
    """
    with ExitStack() as open_files:
        job = open_fuse(recipe, open_files, resume=resume)
        plan = job.plan()
        with Run("fuse", plan, control, notes=plan.notes) as run:
            with run.stage("family"):
                family = measure_family(job.merge, job.labels, job.options, run.tally)
            for warning in family.warnings:
                run.warn(warning)
            with run.stage("surveys"):
                facts = find_facts(job.merge, control, open_files)
            n_bytes = write_tensors(
                job.merge,
                facts,
                job.items(),
                side_files(job, family),
                run,
                resume=resume,
                lasting=lasting_recipe(recipe),
            )
            run.finish()
            report = run.report(dump_recipe(recipe), [_artefact(job, n_bytes)])
    return replace(report, results={**report.results, "fusion": results(job, family)})


def examine_fusion(recipe: FuseRecipe, control: JobControl) -> dict[str, Any]:
    """Measure family and overhead of a fusion, and write nothing.

    Raises:
        AppError: it cannot be done.
    """
    with ExitStack() as open_files:
        job = open_fuse(recipe, open_files)
        total = sum(item.read_bytes for item in family_items(job.merge))
        family = measure_family(job.merge, job.labels, job.options, Tally(control, total))
        return results(job, family)


def results(job: FuseJob, family: FamilyCheck) -> dict[str, Any]:
    """Give what tables and plots of a fusion show, as plain data."""
    return {
        "family": family.as_json(),
        "overhead": job.overhead.as_json(),
        "weights": list(job.weights),
        "towers": [name for name, _ in job.towers],
    }


# --- files beside the weights -----------------------------------------------------------------


def side_files(job: FuseJob, family: FamilyCheck) -> Files:
    """Write config, processors, tokenizer, card and recipe."""
    files = tokenizer_files(job)
    for name, parts in job.towers:
        settings = image_settings(parts.model) or {}
        files[f"processors/{name}/preprocessor_config.json"] = _json(settings)
    generation = job.parts[0].model.side_files.get("generation_config.json")
    if generation is not None:
        files["generation_config.json"] = generation
    files["config.json"] = _json(config_of(job))
    files["README.md"] = card(job, family)
    files[RECIPE_FILE] = _json(lasting_recipe(job.recipe))
    return files


def config_of(job: FuseJob) -> dict[str, Any]:
    """Write the config of the result."""
    text = {key: value for key, value in job.base.config.items() if key not in _LEFT_OUT}
    text["vocab_size"] = job.tokens.n_rows
    config = fused_config(text, job.towers, job.parts[0].model)
    sources = dict(zip(job.ids, job.parts, strict=True))
    for tower in config["towers"]:
        model = sources[tower["id"]].model
        tower |= {"source": model.path.name, "weights": model.identity.header}
    return {
        **config,
        "image_token_index": job.tokens.image_token,
        "image_token": job.tokens.image_text,
        "eos_token_id": job.parts[0].text.get("eos_token_id", text.get("eos_token_id")),
        "merge": {
            "base": job.base.path.name,
            "lambdas": dict(zip(job.ids, job.weights, strict=True)),
            "operator": job.recipe.setting.method,
        },
    }


def tokenizer_files(job: FuseJob) -> Files:
    """Take the first model's tokenizer and chat template; add tokens that only others have."""
    donor = job.parts[0].model
    files: Files = {
        name: path for name, path in donor.side_files.items() if is_tokenizer_file(name)
    }
    tokens = job.tokens.vocabulary
    if tokens is None or read_object(donor.side_files[TOKENIZER]) == tokens.document:
        return files
    files[TOKENIZER] = _json(tokens.document)
    if SETTINGS in donor.side_files:
        files[SETTINGS] = _json(settings_for(read_object(donor.side_files[SETTINGS]), tokens))
    for name in SLOW_FILES:
        files.pop(name, None)
    return files


def card(job: FuseJob, family: FamilyCheck) -> bytes:
    """Say what the model is made of."""
    rows = [
        f"| {label} | {weight:g} | {norm:.4f} | {branch.tokens} |"
        for label, weight, norm, branch in (
            (job.labels[place], job.weights[place], family.norms[place], branch)
            for place, branch in zip(job.order, job.overhead.branches, strict=True)
        )
    ]
    lines = [
        f"# {display_name(job.recipe.output)}",
        "",
        f"{len(job.parts)} multimodal models on one language model, fused with Deltaworks "
        f"({METHOD.source}). It is opened with Deltaworks; it holds no code.",
        "",
        f"Base: {job.base.path.name}. Merge: {job.recipe.setting.method}.",
        "",
        "| Model | Weight | Change, share of the base's norm | Tokens of a picture |",
        "|---|---|---|---|",
        *rows,
        "",
        *(f"- {warning}" for warning in family.warnings),
    ]
    return ("\n".join(lines).rstrip() + "\n").encode()


def _json(data: Any) -> bytes:
    return (json.dumps(data, indent=2, ensure_ascii=False) + "\n").encode()


def _artefact(job: FuseJob, n_bytes: int) -> Artefact:
    return Artefact(
        path=str(job.merge.target),
        kind="model",
        name=display_name(str(job.merge.target)),
        expert="",
        base=str(job.base.path),
        method=METHOD.id,
        options=job.options.model_dump(mode="json"),
        file_bytes=n_bytes,
    )
