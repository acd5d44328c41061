"""A stream of tasks through a tiny vision transformer, from recipe to folder."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from deltaworks.checkpoints import content_hash, open_checkpoint
from deltaworks.checkpoints.head import load_head
from deltaworks.errors import AppError, CancelledError, FileError, MismatchError, OptionError
from deltaworks.inference.vision import open_backbone
from deltaworks.methods.continual.sotu import SotuOptions, merge
from deltaworks.methods.method import TensorSpec
from deltaworks.progress import Event, JobControl, Measured, Progress, Warned
from deltaworks.recipes import dump_recipe, parse_recipe
from deltaworks.studies.grow_record import GrowResult
from deltaworks.studies.jobs import plan_job, run_job
from deltaworks.training.backbones import weights_of

COLOURS = {
    "red": (200, 30, 30),
    "green": (30, 200, 30),
    "blue": (30, 30, 200),
    "white": (220, 220, 220),
}
PROCESSOR = {
    "image_processor_type": "ViTImageProcessor",
    "size": {"height": 8, "width": 8},
    "do_resize": True,
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "do_normalize": True,
    "image_mean": [0.5, 0.5, 0.5],
    "image_std": [0.5, 0.5, 0.5],
}
Make = Callable[..., dict[str, Any]]


def paint(folder: Path, names: tuple[str, ...], count: int, seed: int) -> Path:
    from PIL import Image

    rng = np.random.Generator(np.random.Philox(seed))
    for name in names:
        (folder / name).mkdir(parents=True)
        for number in range(count):
            pixels = np.array(COLOURS[name]) + rng.normal(0, 25, (8, 8, 3))
            image = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
            image.save(folder / name / f"{number}.png")
    return folder


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base, a fine-tune of it, two tasks and test images."""
    from transformers import ViTConfig, ViTForImageClassification

    root = tmp_path_factory.mktemp("grow")
    torch.manual_seed(1)
    config = ViTConfig(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        image_size=8,
        patch_size=4,
    )
    for name, shift in (("base", 0.0), ("tuned", 0.02)):
        torch.manual_seed(1)
        model: Any = ViTForImageClassification(config)
        with torch.no_grad():
            for one in model.parameters():
                one += shift * torch.randn(one.shape)
        model.save_pretrained(root / name)
        (root / name / "preprocessor_config.json").write_text(json.dumps(PROCESSOR))
    paint(root / "warm", ("red", "green"), 6, 0)
    paint(root / "cold", ("blue", "white"), 6, 1)
    paint(root / "test", tuple(COLOURS), 4, 2)
    return root


@pytest.fixture
def growing(world: Path, tmp_path: Path) -> Make:
    def make(**more: Any) -> dict[str, Any]:
        return {
            "kind": "grow",
            "base": {"path": str(world / "base")},
            "tasks": [{"data": str(world / "warm")}, {"data": str(world / "cold")}],
            "test": str(world / "test"),
            "training": {"epochs": 1, "rate": 1e-3, "batch": 4, "save_every": 2},
            "output": str(tmp_path / "grown"),
            **more,
        }

    return make


def run(document: dict[str, Any], control: JobControl | None = None, **more: Any) -> Any:
    return run_job(parse_recipe(document), control or JobControl(), **more)


def test_a_stream_from_recipe_to_folder(growing: Make, world: Path, tmp_path: Path) -> None:
    seen: list[Event] = []
    before = {path: path.read_bytes() for path in world.rglob("*") if path.is_file()}
    options = {"drop_rate": 0.7}
    document = growing(setting={"method": "sotu", "options": options}, drop_rates=[0.5])

    report = run(document, JobControl(report=seen.append))

    out = tmp_path / "grown"
    assert sorted(one.name for one in out.iterdir()) == [
        *("backbone", "grow.json", "head", "metrics.jsonl", "recipe.json", "tasks")
    ]
    assert [one for one in tmp_path.iterdir() if one != out] == []
    assert {path: path.read_bytes() for path in world.rglob("*") if path.is_file()} == before

    # The backbone is the base and what is kept of both tasks, drawn again from the seed.
    base, merged = open_backbone(world / "base"), open_backbone(out / "backbone")
    parts = [load_file(path) for path in sorted((out / "tasks").iterdir())]
    chosen = SotuOptions(drop_rate=0.7)
    new = weights_of(merged)
    for name, one in weights_of(base).items():
        kept = {task: values[name] for task, values in enumerate(parts)}
        again = merge(one, kept, TensorSpec(name, one.shape), chosen)
        np.testing.assert_array_equal(new[name], again)
    assert not any("pooler" in name for name in load_file(out / "backbone/model.safetensors"))

    # The head is bound to it and knows all classes.
    head = load_head(out / "head")
    with open_checkpoint(str(out / "backbone")) as opened:
        assert head.backbone == content_hash(opened, JobControl())
    assert head.classes == ("green", "red", "blue", "white")
    assert head.facts["statistics"] == "streaming"

    result = GrowResult.from_json(report.results["grow"])
    ids = {(one.id, one.classifier) for one in result.arms}
    assert {name for name, kind in ids if kind == "class-mean"} == {
        *("sotu", "frozen", "dense-sum", "dense-average", "sotu-0.5", "sequential", "joint")
    }
    assert {name for name, kind in ids if kind == "linear"} == {"sequential", "joint"}
    main = result.arm("sotu", "class-mean", "streaming")
    assert main.matrix[0][1] is None
    assert len(main.curve) == 2
    task = result.tasks[0]
    assert task.value_bytes == 4 * task.kept == sum(one.nbytes for one in parts[0].values())
    assert abs(task.kept / task.n_weights - 0.3) < 0.05
    assert task.file_bytes == (out / "tasks/000-warm.safetensors").stat().st_size
    assert result.touched == pytest.approx(result.expected_touched, abs=0.05)
    assert report.results["grow"] == json.loads((out / "grow.json").read_text())
    lines = (out / "metrics.jsonl").read_text().splitlines()
    told = [one for one in seen if isinstance(one, Measured)]
    assert [json.loads(line)["subject"] for line in lines] == [one.subject for one in told]
    steps = [one for one in seen if isinstance(one, Progress)]
    assert all(a.done <= b.done for a, b in pairwise(steps))


def test_a_stored_head_predicts_from_the_stored_backbone(growing: Make, tmp_path: Path) -> None:
    setting = {"method": "sotu", "options": {"classifier": "ridge", "projection": 64}}
    run(growing(setting=setting, baselines="none"))
    out = tmp_path / "grown"
    recorded = json.loads((out / "grow.json").read_text())["arms"][0]

    backbone, head = open_backbone(out / "backbone"), load_head(out / "head")
    from deltaworks.inference.images import list_images

    test = list_images(Path(growing()["test"]))
    with torch.inference_mode():
        features = backbone.features(backbone.pixels(test.paths)).numpy()
    found = [head.classes[at] for at in head.scores(features).argmax(axis=1)]

    assert np.mean([a == b for a, b in zip(found, test.names, strict=True)]) == recorded["last"]
    assert recorded["classifier"] == head.kind == "ridge"
    assert {"W_o", "W_rand", "G", "Q", "counts"} == set(head.arrays)


def test_a_finished_fine_tune_is_taken_as_it_is(growing: Make, world: Path, tmp_path: Path) -> None:
    tasks = [
        {"model": {"path": str(world / "tuned")}, "data": str(world / "warm")},
        {"model": {"path": str(world / "tuned")}, "name": "again"},
        {"data": str(world / "cold")},
    ]
    setting = {"method": "sotu", "options": {"drop_rate": 0.0}}

    report = run(growing(tasks=tasks[:2], setting=setting, test=str(world / "warm")))

    base, tuned = weights_of(open_backbone(world / "base")), open_backbone(world / "tuned")
    merged = weights_of(open_backbone(tmp_path / "grown/backbone"))
    for name, one in weights_of(tuned).items():
        np.testing.assert_allclose(merged[name], base[name] + 2 * (one - base[name]), atol=1e-6)
    assert report.results["grow"]["cosines"][0][1] == pytest.approx(1.0)
    assert any("again has none" in one for one in report.warnings)
    assert any("No data were given for again" in one for one in report.warnings)


def test_a_killed_run_goes_on_to_the_same_bytes(growing: Make, tmp_path: Path) -> None:
    run(growing())
    whole, kept = tmp_path / "grown", tmp_path / "kept"
    whole.rename(kept)
    partial = tmp_path / "grown.partial-grow"

    class Killed(BaseException):
        pass

    saved = tmp_path / "saved"

    def kill(event: Event) -> None:
        if isinstance(event, Progress) and "joint · step 5" in event.stage:
            shutil.copytree(partial, saved)  # as a kill leaves it
            raise Killed

    with pytest.raises(Killed):
        run(growing(), JobControl(report=kill))
    saved.rename(partial)
    told: list[Event] = []
    run(growing(), JobControl(report=told.append), resume=True)

    assert not any(isinstance(one, Warned) for one in told)
    trained = [one.stage for one in told if isinstance(one, Progress) and "· step" in one.stage]
    assert trained[0].startswith("joint · joint · step 5/")  # states are saved every 2 steps
    for path in (one for one in kept.rglob("*") if one.is_file()):
        if path.name != "metrics.jsonl":  # losses of trainings that were not done again
            assert (whole / path.relative_to(kept)).read_bytes() == path.read_bytes(), path


def test_rests_of_another_recipe_are_not_taken_over(growing: Make, tmp_path: Path) -> None:
    rest = tmp_path / "grown.partial-grow/.work"
    rest.mkdir(parents=True)
    (rest / "job.json").write_text("{}")
    (rest / "change-0000.safetensors").write_text("nonsense")
    told: list[Event] = []

    run(growing(baselines="none"), JobControl(report=told.append), resume=True)

    assert any(isinstance(one, Warned) and "starts afresh" in one.text for one in told)
    assert (tmp_path / "grown/grow.json").is_file()


def test_a_stopped_run_leaves_nothing(growing: Make, tmp_path: Path) -> None:
    control = JobControl()

    def stop(event: Event) -> None:
        if isinstance(event, Progress) and "step 2" in event.stage:
            control.cancelled.set()

    control.report = stop
    with pytest.raises(CancelledError):
        run(growing(), control)

    assert list(tmp_path.iterdir()) == []


def test_faults_are_named_before_anything_is_trained(
    growing: Make, world: Path, tmp_path: Path
) -> None:
    data = str(world / "warm")
    empty = tmp_path / "empty"
    (empty / "nothing").mkdir(parents=True)
    (tmp_path / "other").mkdir()
    shutil.copytree(world / "base", tmp_path / "other", dirs_exist_ok=True)
    config = json.loads((world / "base/config.json").read_text()) | {"num_hidden_layers": 3}
    (tmp_path / "other/config.json").write_text(json.dumps(config))
    other = {"model": {"path": str(tmp_path / "other")}}
    cases: list[tuple[dict[str, Any], type[AppError], str]] = [
        ({"tasks": [{"name": "x"}]}, OptionError, "x: has neither data nor model"),
        ({"tasks": [{"data": data}, {"data": data}]}, MismatchError, "class 'green' is in warm"),
        ({"tasks": [{"data": data}]}, MismatchError, "2 classes are in no task .blue, white"),
        ({"test": str(empty)}, FileError, "nothing: holds no images"),
        ({"test": str(empty / "nothing")}, FileError, "holds no folders of classes"),
        ({"base": {"path": str(empty)}}, FileError, "has no config.json"),
        ({"tasks": [other]}, MismatchError, "num_hidden_layers is 3, and 1 in the base"),
        ({"setting": {"method": "ties"}}, OptionError, "Choose one of sotu"),
        ({"output": str(world)}, FileError, "is there already"),
    ]
    for change, kind, text in cases:
        with pytest.raises(kind, match=text):
            plan_job(parse_recipe(growing(**change)))


def test_a_broken_image_ends_the_job_with_its_name(
    growing: Make, world: Path, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    shutil.copytree(world / "warm", data)
    (data / "red/3.png").write_bytes(b"no picture")

    with pytest.raises(FileError, match=r"red.3\.png: cannot be read as an image"):
        run(growing(tasks=[{"data": str(data)}, growing()["tasks"][1]]))

    assert not (tmp_path / "grown.partial-grow").exists()


def test_plans_need_no_torch_and_name_what_will_be_there(growing: Make, tmp_path: Path) -> None:
    plan = plan_job(parse_recipe(growing()))

    assert plan.title == "Grow base by 2 tasks"
    assert "2 tasks, 4 classes, 24 images to learn from, 16 to measure on" in plan.notes
    assert plan.outputs[0].path == str(tmp_path / "grown")
    recipe = parse_recipe(growing())
    assert parse_recipe(dump_recipe(recipe)) == recipe

    code = (
        "import json, sys; from deltaworks.recipes import parse_recipe; "
        "from deltaworks.studies.jobs import plan_job; "
        "plan_job(parse_recipe(json.loads(sys.argv[1]))); sys.exit('torch' in sys.modules)"
    )
    words = [sys.executable, "-c", code, json.dumps(growing())]
    assert subprocess.run(words, check=False).returncode == 0


def test_convolutions_give_the_mean_of_their_places(tmp_path: Path) -> None:
    from transformers import ResNetConfig, ResNetModel

    torch.manual_seed(0)
    config = ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1])
    model: Any = ResNetModel(config)
    model.save_pretrained(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(PROCESSOR))

    backbone = open_backbone(tmp_path)

    assert backbone.pooling == "mean"
    assert not any("running" in name for name in weights_of(backbone))
    with torch.inference_mode():
        found = backbone.features(torch.ones(2, 3, 32, 32))
        want = model.eval()(torch.ones(2, 3, 32, 32)).pooler_output.flatten(1)
    torch.testing.assert_close(found, want)


def test_the_program_grows_draws_and_classifies(world: Path, tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from deltaworks.cli.main import app

    out, runner = tmp_path / "grown", CliRunner()
    tasks = ["--task", f"{world / 'warm'},{world / 'tuned'}", "--task", world / "cold"]
    words = ["grow", world / "base", *tasks, "--test", world / "test", "-o", out, "--epochs", 1]
    words += ["--baselines", "untrained", "--set", "drop_rate=0.8", "--threads", 1]

    done = runner.invoke(app, [str(word) for word in words])

    assert done.exit_code == 0, done.output
    assert "Frozen base" in done.output
    assert "Sequential" not in done.output
    for name in ("accuracy.png", "matrices.png"):
        assert (out / name).read_bytes().startswith(b"\x89PNG")

    images = [world / "test/blue/0.png", world / "test/red/1.png"]
    named = runner.invoke(app, ["classify", str(out), *map(str, images), "--json"])
    found = json.loads(named.output)["results"]
    assert [one["path"] for one in found] == [str(path) for path in images]
    assert {one["class"] for one in found} <= set(COLOURS)

    facts = json.loads((out / "head/head.json").read_text())
    (out / "head/head.json").write_text(json.dumps(facts | {"backbone": "another"}))
    warned = runner.invoke(app, ["classify", str(out), str(images[0])])
    assert warned.exit_code == 0
    assert "made on a backbone of other weights" in warned.output

    nothing = runner.invoke(app, ["classify", str(world), str(images[0])])
    assert nothing.exit_code == 1
    assert "cannot be read as a head" in nothing.output


def test_a_removed_task_leaves_what_a_run_without_it_makes(
    growing: Make, world: Path, tmp_path: Path
) -> None:
    from deltaworks.studies.grow_removal import remove_task

    run(growing(baselines="none"))
    alone = growing(baselines="none", tasks=growing()["tasks"][:1], output=str(tmp_path / "one"))
    # Only warm's classes are asked about, as the lone task has no others.
    shutil.copytree(world / "test", tmp_path / "test")
    for name in ("blue", "white"):
        shutil.rmtree(tmp_path / "test" / name)
    run(alone | {"test": str(tmp_path / "test")})

    removed = remove_task(tmp_path / "grown", "cold", tmp_path / "without", JobControl())

    assert removed["classes"] == ["blue", "white"]
    want = weights_of(open_backbone(tmp_path / "one/backbone"))
    for name, one in weights_of(open_backbone(tmp_path / "without/backbone")).items():
        np.testing.assert_allclose(one, want[name], atol=1e-6)
    left, lone = load_head(tmp_path / "without/head"), load_head(tmp_path / "one/head")
    assert left.classes == lone.classes == ("green", "red")
    np.testing.assert_array_equal(left.arrays["prototypes"], lone.arrays["prototypes"])
    with open_checkpoint(str(tmp_path / "without/backbone")) as opened:
        assert left.backbone == content_hash(opened, JobControl())
    assert [one.name for one in (tmp_path / "without/tasks").iterdir()] == ["000-warm.safetensors"]

    with pytest.raises(OptionError, match=r"no task 'hot'.*Choose one of warm, cold"):
        remove_task(tmp_path / "grown", "hot", tmp_path / "more", JobControl())
    with pytest.raises(FileError, match="holds no tasks"):
        remove_task(world, "warm", tmp_path / "more", JobControl())
    setting = {"method": "sotu", "options": {"classifier": "ridge", "projection": 0}}
    run(growing(baselines="none", setting=setting, output=str(tmp_path / "ridge")))
    with pytest.raises(OptionError, match="cannot forget one"):
        remove_task(tmp_path / "ridge", "cold", tmp_path / "more", JobControl())
    assert not (tmp_path / "more").exists()


def test_a_full_disk_is_told_in_one_sentence(
    growing: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import errno
    import os

    def full(*_: Any, **__: Any) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("deltaworks.studies.grow._save_task", full)
    with pytest.raises(AppError, match="grown"):
        run(growing(baselines="none"))

    assert list(tmp_path.iterdir()) == []
