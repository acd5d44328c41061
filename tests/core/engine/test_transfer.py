from __future__ import annotations

import json
import math
import shutil
import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch

from deltaworks.checkpoints import open_checkpoint
from deltaworks.engine.transfer import run_transfer
from deltaworks.engine.transfer_plan import plan_transfer, sensitivity_bytes
from deltaworks.errors import CancelledError, MismatchError, OptionError
from deltaworks.inference.running import load_model
from deltaworks.progress import Event, JobControl, Progress
from deltaworks.recipes import dump_recipe, parse_recipe
from deltaworks.recipes.schema import TransferRecipe

Make = Callable[..., TransferRecipe]


def larger(folder: Path, like: Path, **changes: Any) -> Path:
    """A Llama of the same family and tokenizer: three layers, 48 wide."""
    from safetensors.torch import save_file

    config = json.loads((like / "config.json").read_text())
    config |= {"hidden_size": 48, "intermediate_size": 64, "num_hidden_layers": 3, **changes}
    folder.mkdir()
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(like / name, folder / name)
    (folder / "config.json").write_text(json.dumps(config))
    rng = torch.Generator().manual_seed(5)
    d, f, half = config["hidden_size"], config["intermediate_size"], config["hidden_size"] // 2
    shapes: dict[str, tuple[int, ...]] = {
        "model.embed_tokens": (96, d),
        "lm_head": (96, d),
        "model.norm": (d,),
    }
    for block in range(config["num_hidden_layers"]):
        at = f"model.layers.{block}"
        shapes |= {f"{at}.self_attn.{one}_proj": (d, d) for one in "qo"}
        shapes |= {f"{at}.self_attn.{one}_proj": (half, d) for one in "kv"}
        shapes |= {f"{at}.mlp.{one}_proj": (f, d) for one in ("gate", "up")}
        shapes |= {f"{at}.mlp.down_proj": (d, f)}
        shapes |= {f"{at}.{one}_layernorm": (d,) for one in ("input", "post_attention")}
    tensors = {
        f"{name}.weight": torch.ones(shape)
        if len(shape) == 1
        else torch.randn(shape, generator=rng) * 0.1
        for name, shape in shapes.items()
    }
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def write_texts(path: Path, first: int, count: int) -> Path:
    pairs = [(f"{n % 7}+{n % 5}=", str(n % 7 + n % 5)) for n in range(first, first + count)]
    lines = [json.dumps({"prompt": p, "response": f"{r};"}) for p, r in pairs]
    path.write_text("\n".join(lines), "utf-8")
    return path


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory, tiny_base: Path) -> Path:
    return larger(tmp_path_factory.mktemp("transfer") / "large", tiny_base)


@pytest.fixture
def make(tmp_path: Path, source: Path, tiny_base: Path) -> Make:
    def recipe(**changes: Any) -> TransferRecipe:
        fields = {
            "kind": "transfer",
            "source": {"path": str(source)},
            "target": {"path": str(tiny_base)},
            "setting": {"method": "seeking", "options": {"rank": 2, "alpha": 2.0}},
            "seed_data": str(write_texts(tmp_path / "seed.jsonl", 0, 3)),
            "training": str(write_texts(tmp_path / "training.jsonl", 3, 12)),
            "held_out": str(write_texts(tmp_path / "held.jsonl", 20, 6)),
            "control_data": str(write_texts(tmp_path / "control.jsonl", 50, 4)),
            "steps": 4,
            "rate": 1e-2,
            "batch": 3,
            "accumulate": 2,
            "measure_every": 2,
            "save_every": 1,
            "output": str(tmp_path / "out"),
        }
        found = parse_recipe({**fields, **changes})
        assert isinstance(found, TransferRecipe)
        return found

    return recipe


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory, source: Path, tiny_base: Path) -> Any:
    folder = tmp_path_factory.mktemp("done")
    recipe = parse_recipe(
        {
            "kind": "transfer",
            "source": {"path": str(source)},
            "target": {"path": str(tiny_base)},
            "setting": {"method": "seeking", "options": {"rank": 2, "alpha": 4.0}},
            "seed_data": str(write_texts(folder / "seed.jsonl", 0, 3)),
            "training": str(write_texts(folder / "training.jsonl", 3, 12)),
            "held_out": str(write_texts(folder / "held.jsonl", 20, 6)),
            "control_data": str(write_texts(folder / "control.jsonl", 50, 4)),
            "steps": 6,
            "rate": 2e-2,
            "batch": 4,
            "accumulate": 1,
            "measure_every": 3,
            "similarity": "full",
            "output": str(folder / "out"),
        }
    )
    assert isinstance(recipe, TransferRecipe)
    events: list[Event] = []
    report = run_transfer(recipe, JobControl(report=events.append))
    return folder / "out", report, events


def test_every_arm_starts_from_the_same_losses_and_learns(done: Any) -> None:
    facts = done[1].results["transfer"]

    assert [one["arm"] for one in facts["arms"]] == [
        *("seeking", "gaussian", "pissa", "random-same-norm")
    ]
    for arm in facts["arms"]:
        (_, first), *_, (last_step, last) = arm["measures"]
        for name in ("held_out", "control_data"):
            assert first[name] == pytest.approx(facts["untouched"][name], abs=1e-5)
        assert last_step == 6
        assert last["held_out"] < first["held_out"]
        assert len(arm["losses"]) == 6
    assert facts["unaligned"]["held_out"] != facts["untouched"]["held_out"]


def test_layers_and_blocks_are_told(done: Any) -> None:
    facts = done[1].results["transfer"]

    best = sorted(range(3), key=lambda one: -facts["layer_scores"][one])[:2]
    assert facts["layers"] == sorted(best)
    assert len(facts["matrices"]) == 14
    for matrix in facts["matrices"]:
        assert 0 < matrix["share"] < 1
        assert matrix["source"].split(".")[2] == str(facts["layers"][matrix["block"]])
        assert abs(matrix["cosine_weight"]) < 0.3
        assert matrix["cosine_rest"] < 0
    assert json.loads((done[0] / "transfer.json").read_text()) == facts


@pytest.mark.filterwarnings("ignore::FutureWarning")  # PEFT asks transformers by an old name
def test_adapters_have_twice_the_rank_and_make_the_model(done: Any, tiny_base: Path) -> None:
    out = done[0]
    facts = {one["arm"]: one for one in done[1].results["transfer"]["arms"]}
    tokens = torch.tensor([[5, 9, 33, 12]])
    with (
        open_checkpoint(tiny_base) as base,
        open_checkpoint(out / "adapters" / "seeking", base=base) as adapter,
        open_checkpoint(out / "model") as model,
    ):
        name = "model.layers.1.mlp.up_proj.weight"
        change = adapter.read(name).float() - base.read(name).float()
        assert int(torch.linalg.matrix_rank(change, rtol=0.05)) <= 5  # rounded to bf16
        assert torch.equal(model.read(name), adapter.read(name))
        assert torch.equal(model.read("lm_head.weight"), base.read("lm_head.weight"))
        logits = load_model(model).logits(tokens)
    assert json.loads((out / "adapters/seeking/adapter_config.json").read_text())["r"] == 4
    assert json.loads((out / "adapters/gaussian/adapter_config.json").read_text())["r"] == 2

    peft = pytest.importorskip("peft")
    from transformers import AutoModelForCausalLM

    plain = AutoModelForCausalLM.from_pretrained(tiny_base, dtype=torch.float32)
    with torch.inference_mode():
        found = peft.PeftModel.from_pretrained(plain, out / "adapters" / "seeking")(tokens).logits
    assert torch.allclose(found, logits, atol=0.02)
    assert facts["seeking"]["change_norm"] > 0


def test_similarities_are_told_for_every_pair_of_layers(done: Any) -> None:
    found = done[1].results["transfer"]["similarity"]

    assert [one["layer"] for one in found["kinds"]] == [
        *("self_attn.v_proj", "self_attn.o_proj", "mlp.up_proj", "mlp.down_proj")
    ]
    for kind in found["kinds"]:
        values = torch.tensor(kind["cka"])
        assert values.shape == (2, 3)
        assert bool(((values >= 0) & (values <= 1 + 1e-9)).all())
    assert any("plain CKA is too high" in text for text in done[1].warnings)


def test_progress_ends_whole_and_nothing_else_is_left(done: Any) -> None:
    progress = [event for event in done[2] if isinstance(event, Progress)]

    assert progress[-1].done == progress[-1].total
    assert all(first.done <= second.done for first, second in pairwise(progress))
    assert {path.name for path in done[0].iterdir()} == {"adapters", "model", "transfer.json"}
    assert [path.name for path in done[0].parent.glob("*partial*")] == []


class Killed(BaseException):
    """As hard as a kill: nobody cleans up."""


def killed_at(stage: str) -> JobControl:
    def report(event: Event) -> None:
        if isinstance(event, Progress) and stage in event.stage:
            raise Killed

    return JobControl(report=report)


@pytest.mark.parametrize("stage", ["Gaussian (LoRA) · step 3", "Seeking · step 4"])
def test_a_run_that_was_killed_goes_on_with_the_same_bits(
    make: Make, tmp_path: Path, stage: str
) -> None:
    arms = {"arms": ["gaussian"], "merged": False}
    whole = run_transfer(make(output=str(tmp_path / "whole"), **arms), JobControl())
    recipe = make(output=str(tmp_path / "again"), **arms)
    with pytest.raises(Killed):
        run_transfer(recipe, killed_at(stage))
    assert not Path(recipe.output).exists()
    told: list[str] = []

    def note(event: Event) -> None:
        told.extend([event.stage] if isinstance(event, Progress) else [])

    again = run_transfer(recipe, JobControl(report=note), resume=True)

    assert again.results["transfer"] == whole.results["transfer"]
    assert not any("sensitivity" in one or "Seeking · step 1/" in one for one in told)
    for arm in ("seeking", "gaussian"):
        files = [
            tmp_path / one / "adapters" / arm / "adapter_model.safetensors"
            for one in ("whole", "again")
        ]
        assert files[0].read_bytes() == files[1].read_bytes()


def test_stopping_leaves_nothing(make: Make, tmp_path: Path) -> None:
    control = JobControl()

    def stop(event: Event) -> None:
        if isinstance(event, Progress) and "step 2" in event.stage:
            control.cancelled.set()

    control.report = stop
    with pytest.raises(CancelledError):
        run_transfer(make(), control)
    assert not list(tmp_path.glob("out*"))


def test_similarity_alone_trains_nothing(make: Make, tmp_path: Path) -> None:
    report = run_transfer(make(similarity="only", seed_data="", training=""), JobControl())

    facts = report.results["transfer"]
    assert "arms" not in facts
    assert len(facts["similarity"]["kinds"]) == 4
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["transfer.json"]
    assert report.artefacts == ()


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"num_hidden_layers": 1}, "has 1 layers, the target 2"),
        ({"model_type": "mistral"}, "model_type is 'mistral' here, 'llama' in the target"),
        (
            {"intermediate_size": 40},
            "layers.0.mlp.down_proj.weight is 48 x 40, smaller than 32 x 48 in the target",
        ),
    ],
)
def test_models_that_do_not_fit_are_refused_by_their_first_difference(
    make: Make, tmp_path: Path, tiny_base: Path, change: dict[str, Any], text: str
) -> None:
    other = larger(tmp_path / "other", tiny_base, **change)

    with pytest.raises(MismatchError, match=text):
        plan_transfer(make(source={"path": str(other)}))


def test_another_tokenizer_is_refused_by_its_first_token(
    make: Make, tmp_path: Path, tiny_base: Path
) -> None:
    other = larger(tmp_path / "other", tiny_base)
    document = json.loads((other / "tokenizer.json").read_text())
    vocabulary = document["model"]["vocab"]
    vocabulary["a"], vocabulary["b"] = vocabulary["b"], vocabulary["a"]
    (other / "tokenizer.json").write_text(json.dumps(document))

    with pytest.raises(MismatchError, match="token 'a' is number 68 here, 67 in the target"):
        plan_transfer(make(source={"path": str(other)}))
    vocabulary["new"] = 96
    vocabulary["a"], vocabulary["b"] = vocabulary["b"], vocabulary["a"]
    (other / "tokenizer.json").write_text(json.dumps(document))
    with pytest.raises(MismatchError, match="token 'new' is here only"):
        plan_transfer(make(source={"path": str(other)}))


def test_what_is_missing_is_named(make: Make, tiny_base: Path) -> None:
    with pytest.raises(OptionError, match="no texts for seed_data, training"):
        plan_transfer(make(seed_data="", training=""))
    with pytest.raises(MismatchError, match="source and target at once"):
        plan_transfer(make(source={"path": str(tiny_base)}))
    options = {"attention": False, "ffn": False}
    with pytest.raises(OptionError, match="neither attention nor feed-forward"):
        plan_transfer(make(setting={"method": "seeking", "options": options}))


def test_a_plan_needs_no_torch(make: Make, tmp_path: Path) -> None:
    path = tmp_path / "recipe.json"
    path.write_text(json.dumps(dump_recipe(make())))
    code = (
        "import sys\nfrom deltaworks.recipes import load_recipe\n"
        "from deltaworks.studies.jobs import plan_job\n"
        f"plan = plan_job(load_recipe({str(path)!r}))\n"
        "print(len(plan.items), 'torch' in sys.modules)\n"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)

    assert found.stdout.split() == ["7", "False"], found.stderr


def test_sensitivities_take_eight_bytes_a_weight_and_one_gradient(make: Make, source: Path) -> None:
    from contextlib import ExitStack

    from deltaworks.engine.transfer_plan import open_transfer

    with ExitStack() as files, open_checkpoint(source) as model:
        found = sensitivity_bytes(open_transfer(make(), files))
        layers = [name for name in model.names if "_proj" in name]
        kept = sum(model.info(name).n_elements for name in layers)

    assert found == 4 * (model.n_parameters + kept + 96 * 48)
    assert found < 8 * model.n_parameters + 4 * 96 * 48


def header_only(folder: Path, like: Path, width: int, inner: int, depth: int) -> Path:
    """A Llama-2 of real size: its header, and a hole where the numbers would be."""
    shapes: dict[str, tuple[int, ...]] = {
        "model.embed_tokens": (32000, width),
        "lm_head": (32000, width),
    }
    shapes["model.norm"] = (width,)
    for block in range(depth):
        layer = f"model.layers.{block}"
        shapes |= {f"{layer}.self_attn.{one}_proj": (width, width) for one in "qkvo"}
        shapes |= {f"{layer}.mlp.{one}_proj": (inner, width) for one in ("gate", "up")}
        shapes |= {f"{layer}.mlp.down_proj": (width, inner)}
        shapes |= {f"{layer}.{one}_layernorm": (width,) for one in ("input", "post_attention")}
    folder.mkdir()
    for name in ("tokenizer.json", "config.json"):
        shutil.copy(like / name, folder / name)
    header: dict[str, Any] = {}
    at = 0
    for name, shape in shapes.items():
        end = at + 2 * math.prod(shape)
        header[f"{name}.weight"] = {"dtype": "BF16", "shape": shape, "data_offsets": [at, end]}
        at = end
    raw = json.dumps(header).encode()
    with (folder / "model.safetensors").open("wb") as file:
        file.write(len(raw).to_bytes(8, "little") + raw)
        file.truncate(8 + len(raw) + at)
    return folder


def test_the_plan_of_13b_into_7b_counts_eight_bytes_a_weight(
    make: Make, tmp_path: Path, tiny_base: Path
) -> None:
    large = header_only(tmp_path / "13b", tiny_base, 5120, 13824, 40)
    small = header_only(tmp_path / "7b", tiny_base, 4096, 11008, 32)
    options = {"rank": 16, "alpha": 16.0}
    recipe = make(
        source={"path": str(large)},
        target={"path": str(small)},
        setting={"method": "seeking", "options": options},
        merged=False,
    )

    peaks = {item.id: item.peak_bytes for item in plan_transfer(recipe).items}

    embedding, blocks = 32000 * 5120, 40 * (4 * 5120**2 + 3 * 5120 * 13824)
    weights = 2 * embedding + blocks + 81 * 5120
    assert weights == 13_015_864_320
    assert peaks["sensitivity"] == 4 * (weights + blocks + embedding)  # 103 GB, not 156
    assert peaks["sensitivity"] < 8 * weights
    factors = 32 * 16 * (4 * 2 * 4096 + 3 * (4096 + 11008))
    assert factors == 39_976_960
    arms = 5  # the starts, and four arms' changes
    assert peaks["gaussian"] == 4 * (6_738_415_616 + 4 * factors) + 4 * factors * arms
