from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from deltaworks.engine import plan, run
from deltaworks.errors import AppError, CancelledError, FileError, MismatchError, OptionError
from deltaworks.progress import JobControl, Progress
from deltaworks.recipes import parse_recipe
from deltaworks.recipes.schema import RepairRecipe

Repairing = Callable[..., RepairRecipe]
PAIRS = [{"prompt": f"how to make a {word}?", "response": "I will not."} for word in "abcdefgh"]


@pytest.fixture
def safety(tmp_path: Path) -> Path:
    path = tmp_path / "safety.jsonl"
    path.write_text("\n".join(map(json.dumps, PAIRS)) + "\n")
    return path


@pytest.fixture
def task(tmp_path: Path) -> Path:
    path = tmp_path / "task.jsonl"
    pairs = [{"prompt": f"{n}+{n}=", "answer": f"{2 * n}"} for n in range(10, 30)]
    path.write_text("\n".join(map(json.dumps, pairs)) + "\n")
    return path


@pytest.fixture
def repairing(tiny_base: Path, tiny_expert: Path, tmp_path: Path) -> Repairing:
    """Build a repair: ``repairing("safe-delta", rho=0.5, recipe={…})``."""

    def make(
        method: str,
        *,
        aligned: Path = tiny_base,
        tuned: Path = tiny_expert,
        recipe: dict[str, Any] | None = None,
        **options: Any,
    ) -> RepairRecipe:
        made = parse_recipe(
            {
                "kind": "repair",
                "aligned": {"path": str(aligned)},
                "tuned": {"path": str(tuned)},
                "setting": {"method": method, "options": options},
                "output": str(tmp_path / "repaired"),
                "threads": 1,
                **(recipe or {}),
            }
        )
        assert isinstance(made, RepairRecipe)
        return made

    return make


def _loaded(folder: Path | str) -> dict[str, torch.Tensor]:
    tensors: dict[str, torch.Tensor] = {}
    for path in sorted(Path(folder).glob("*.safetensors")):
        tensors |= load_file(path)
    return tensors


def _same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(
        torch.equal(first[name], second[name]) for name in first
    )


# --- what comes out -------------------------------------------------------------------------


def test_no_budget_gives_the_aligned_model_byte_for_byte(
    repairing: Repairing, tiny_base: Path, safety: Path
) -> None:
    recipe = repairing("safe-delta", rho=0.0, recipe={"safety": str(safety)})

    run(recipe, JobControl())

    assert _same(_loaded(recipe.output), _loaded(tiny_base))


def test_all_of_the_budget_gives_the_tuned_blocks(
    repairing: Repairing, tiny_expert: Path, safety: Path
) -> None:
    recipe = repairing("safe-delta", rho=1.0, recipe={"safety": str(safety)})

    report = run(recipe, JobControl())

    assert _same(_loaded(recipe.output), _loaded(tiny_expert))
    assert report.artefacts[0].kind == "model"


def test_a_repair_says_what_it_did_and_from_what(repairing: Repairing, safety: Path) -> None:
    recipe = repairing("safe-delta", rho=0.4, recipe={"safety": str(safety), "tokens": 32})

    report = run(recipe, JobControl())

    facts = report.results["repair"]
    assert json.loads((Path(recipe.output) / "deltaworks_report.json").read_text()) == facts
    assert (Path(recipe.output) / "deltaworks_recipe.json").is_file()
    assert facts["method"] == "safe-delta"
    assert facts["options"]["rho"] == 0.4
    assert set(facts["models"]) == {"aligned", "tuned"}
    assert all(len(model["content"]) == 64 for model in facts["models"].values())
    assert facts["texts"]["safety"]["sequences"] == 8
    assert facts["template"] == "none"
    assert len(facts["layers"]) == 14
    layer = facts["layers"]["model.layers.0.mlp.down_proj.weight"]
    assert layer["spent"] <= layer["budget"]
    assert layer["tokens"] == facts["texts"]["safety"]["tokens"]
    assert 0.2 < layer["damage_share"] < 0.7
    assert "lm_head.weight" in facts["untouched"]["aligned"]
    assert 0 < facts["total"]["change_kept"] < 1
    assert "safe" in facts["limits"]


def test_layers_are_what_the_method_gives_with_their_inputs(
    repairing: Repairing, safety: Path, tiny_base: Path, tiny_expert: Path
) -> None:
    from deltaworks.calibration import collect_grams, make_sequences, read_texts
    from deltaworks.checkpoints import open_checkpoint
    from deltaworks.inference.tokenizing import load_tokenizer
    from deltaworks.methods import safety_method
    from deltaworks.methods.method import TensorSpec
    from deltaworks.methods.safety.safe_delta import SafeDeltaOptions
    from deltaworks.methods.safety_record import RepairInputs

    recipe = repairing("safe-delta", rho=0.4, recipe={"safety": str(safety), "out_dtype": "F32"})
    run(recipe, JobControl())
    with open_checkpoint(tiny_base) as base:
        tokenizer = load_tokenizer(base)
        assert tokenizer is not None
        sequences = make_sequences(read_texts(safety), tokenizer)
        with collect_grams(base, sequences, JobControl(), cache=None) as grams:
            method = safety_method("safe-delta")
            for name in ("model.layers.1.mlp.down_proj.weight",
                         "model.layers.0.self_attn.k_proj.weight"):  # fmt: skip
                aligned, tuned = _loaded(tiny_base)[name], _loaded(tiny_expert)[name]
                gram = grams.read(name)
                spec = TensorSpec(name, tuple(aligned.shape))
                inputs = RepairInputs(spec, aligned, tuned, gram=lambda g=gram: g)  # type: ignore[misc]
                wanted = method.repair(inputs, SafeDeltaOptions(rho=0.4)).tensor
                assert torch.allclose(_loaded(recipe.output)[name], wanted, atol=2e-6)


def test_factors_are_made_once_and_change_no_bit(
    repairing: Repairing, safety: Path, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    shared = {"safety": str(safety), "cache": str(cache)}
    outs = [tmp_path / name for name in ("first", "second", "without")]
    first = repairing("safe-delta", rho=0.4, recipe={**shared, "output": str(outs[0])})
    run(first, JobControl())
    factors = {path: path.stat().st_mtime_ns for path in cache.rglob("factor-*.safetensors")}

    run(first.model_copy(update={"output": str(outs[1])}), JobControl())
    run(first.model_copy(update={"output": str(outs[2]), "cache": ""}), JobControl())

    assert len(factors) == 8  # four inputs a block
    assert factors == {path: path.stat().st_mtime_ns for path in factors}
    assert len({(out / "model.safetensors").read_bytes()[-4096:] for out in outs}) == 1
    assert _same(_loaded(outs[0]), _loaded(outs[2]))


def test_the_fine_tunes_own_tensors_come_along_when_asked(
    repairing: Repairing, save_model: Any, tiny_tensors: Any, tmp_path: Path, safety: Path
) -> None:
    tuned = tiny_tensors(0)
    tuned["lm_head.weight"] = tuned["lm_head.weight"] * 2
    tuned["model.layers.0.mlp.up_proj.weight"] = tuned["model.layers.0.mlp.up_proj.weight"] * 1.01
    path = save_model(tmp_path / "tuned", tuned)
    recipe = {"safety": str(safety), "other_tensors": "finetuned"}

    out = repairing("safe-delta", tuned=path, rho=0.5, recipe=recipe)
    run(out, JobControl())

    assert torch.equal(_loaded(out.output)["lm_head.weight"], tuned["lm_head.weight"])


@pytest.mark.parametrize("method", ["interpolation", "resta"])
def test_new_words_keep_their_rows(
    method: str,
    repairing: Repairing,
    save_model: Any,
    tiny_tensors: Any,
    tmp_path: Path,
    tiny_expert2: Path,
) -> None:
    tuned = tiny_tensors(0)
    for name in ("lm_head.weight", "model.embed_tokens.weight"):
        tuned[name] = torch.cat([tuned[name] * 1.5, torch.ones(3, 32).bfloat16()])
    path = save_model(tmp_path / "tuned", tuned)

    recipe = repairing(
        method, tuned=path, recipe={"unaligned": {"path": str(tiny_expert2)}},
        **({"weight": 0.5} if method == "interpolation" else {"drop_rate": 0.0}),
    )  # fmt: skip
    report = run(recipe, JobControl())

    out = _loaded(recipe.output)["lm_head.weight"]
    assert out.shape == (99, 32)
    assert torch.equal(out[96:], torch.ones(3, 32).bfloat16())
    assert any("3 more words" in warning for warning in report.warnings)


def test_interpolation_and_resta_treat_every_floating_tensor(
    repairing: Repairing, tiny_base: Path, tiny_expert: Path, tiny_expert2: Path
) -> None:
    recipe = repairing(
        "resta", gamma=0.5, drop_rate=0.0, recipe={"unaligned": {"path": str(tiny_expert2)}}
    )

    run(recipe, JobControl())

    name = "model.layers.1.mlp.gate_proj.weight"
    out, base, tuned, away = (
        _loaded(one)[name].float() for one in (recipe.output, tiny_base, tiny_expert, tiny_expert2)
    )
    assert torch.equal(out, (tuned + 0.5 * (base - away)).bfloat16().float())


def test_irr_recomputes_inputs_after_each_block(
    repairing: Repairing, task: Path, tiny_expert2: Path, tmp_path: Path
) -> None:
    shared = {"task": str(task), "unaligned": {"path": str(tiny_expert2)}}

    found = {}
    for grams in ("sequential", "once"):
        recipe = repairing("irr", grams=grams, recipe={**shared, "output": str(tmp_path / grams)})
        found[grams] = run(recipe, JobControl()).results["repair"]["layers"]

    first = "model.layers.0.self_attn.q_proj.weight"
    assert found["sequential"].keys() == found["once"].keys()
    damages = [found[grams][first]["damage"] for grams in found]
    assert damages[0] == pytest.approx(damages[1], rel=1e-5)
    later = _loaded(tmp_path / "once"), _loaded(tmp_path / "sequential")
    last = "model.layers.1.mlp.down_proj.weight"
    assert torch.equal(*(tensors[first] for tensors in later))
    assert not torch.equal(*(tensors[last] for tensors in later))


def test_irr_ranks_by_importance(
    repairing: Repairing, task: Path, safety: Path, tiny_expert2: Path
) -> None:
    recipe = repairing(
        "irr",
        keep_fraction=0.5,
        recipe={
            "task": str(task), "safety": str(safety), "unaligned": {"path": str(tiny_expert2)}
        },
    )  # fmt: skip

    facts = run(recipe, JobControl()).results["repair"]

    layer = facts["layers"]["model.layers.0.self_attn.q_proj.weight"]
    assert 0.3 < layer["interference_share"] < 0.7
    assert layer["removed_share"] == pytest.approx(layer["interference_share"] / 2, abs=0.02)
    assert layer["fisher_q50"] <= layer["fisher_q99"]
    assert set(facts["texts"]) == {"task", "safety"}


def test_the_base_may_stand_in_for_an_unaligned_model(
    repairing: Repairing, tiny_expert2: Path
) -> None:
    recipe = repairing("resta", recipe={"pretrained": {"path": str(tiny_expert2)}})

    report = run(recipe, JobControl())

    assert report.results["repair"]["stand_ins"] == {"unaligned": "the pretrained base"}
    assert any("stands in" in warning for warning in report.warnings)


def test_safelora_chooses_a_number_of_layers(repairing: Repairing, tiny_expert2: Path) -> None:
    recipe = repairing(
        "safelora",
        selection="number",
        number=3,
        recipe={"pretrained": {"path": str(tiny_expert2)}},
    )

    layers = run(recipe, JobControl()).results["repair"]["layers"]

    projected = [one["alignment_cosine"] for one in layers.values() if one["projected"]]
    others = [one["alignment_cosine"] for one in layers.values() if not one["projected"]]
    assert len(projected) == 3
    assert max(projected) < min(others)


# --- plans, resuming, stopping --------------------------------------------------------------


def test_a_plan_counts_memory_and_names_what_is_kept(
    repairing: Repairing, safety: Path, tmp_path: Path
) -> None:
    recipe = {"safety": str(safety), "cache": str(tmp_path / "cache")}

    found = plan(repairing("safe-delta", recipe=recipe))

    down = next(item for item in found.items if "0.mlp.down_proj" in item.id)
    assert down.peak_bytes > 44 * 32 * 48 + 36 * 48 * 48
    assert any("kept in" in note for note in found.notes)
    assert any("5 tensors" in note or "7 tensors" in note for note in found.notes)


def test_the_same_work_gives_the_same_bytes(
    repairing: Repairing, safety: Path, tmp_path: Path
) -> None:
    outs = []
    for threads in (1, 2):
        output = tmp_path / str(threads) / "same"
        recipe = {"safety": str(safety), "threads": threads, "output": str(output)}
        run(repairing("safe-delta", rho=0.4, recipe=recipe), JobControl())
        outs.append({path.name: path.read_bytes() for path in output.iterdir()})

    assert outs[0] == outs[1]


def _ends(output: Any, *_: object) -> None:
    """What the system does when a process ends: it closes files."""
    output._journal.close()
    output._writer._close_files()


def test_a_killed_repair_goes_on_where_it_stopped(
    repairing: Repairing, safety: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from deltaworks.engine import model_output

    recipe = repairing("safe-delta", rho=0.4, recipe={"safety": str(safety)})
    wanted = repairing(
        "safe-delta", rho=0.4,
        recipe={"safety": str(safety), "output": str(tmp_path / "whole" / "repaired")},
    )  # fmt: skip
    run(wanted, JobControl())
    real, calls = model_output.ModelOutput.write, 0

    class Killed(BaseException):
        """As if the process had ended: nothing is tidied up."""

    def write(self: Any, *args: Any, **more: Any) -> None:
        nonlocal calls
        calls += 1
        if calls > 9:
            raise Killed
        real(self, *args, **more)

    with monkeypatch.context() as patch:
        patch.setattr(model_output.ModelOutput, "write", write)
        patch.setattr(model_output.ModelOutput, "__exit__", _ends)
        with pytest.raises(Killed):
            run(recipe, JobControl())
    for journal in Path(recipe.output).parent.glob("*.journal"):
        assert len(journal.read_text().splitlines()) == 10

    report = run(recipe, JobControl(), resume=True)

    assert {p.name: p.read_bytes() for p in Path(recipe.output).iterdir()} == {
        p.name: p.read_bytes() for p in Path(wanted.output).iterdir()
    }
    assert len(report.results["repair"]["layers"]) == 14


def test_a_stopped_repair_leaves_nothing(
    repairing: Repairing, safety: Path, tmp_path: Path
) -> None:
    recipe = repairing("safe-delta", recipe={"safety": str(safety)})
    control = JobControl()

    def stop(event: Any) -> None:
        if isinstance(event, Progress) and event.stage.startswith("tensors 5"):
            control.cancelled.set()

    control.report = stop
    before = set(tmp_path.iterdir())
    with pytest.raises(CancelledError):
        run(recipe, control)

    assert set(tmp_path.iterdir()) == before


# --- one sentence each ----------------------------------------------------------------------


def _refused(recipe: RepairRecipe, kind: type[AppError] = MismatchError) -> str:
    with pytest.raises(kind) as error:
        plan(recipe)
    return str(error.value)


def test_a_child_of_another_parent_is_told(repairing: Repairing, tiny_stranger: Path) -> None:
    text = _refused(repairing("interpolation", tuned=tiny_stranger))

    assert "is no fine-tune of base: its weights lie 1." in text
    assert text.endswith("Choose the aligned model that this one was tuned from.")


def test_offending_tensors_are_listed(
    repairing: Repairing, save_model: Any, tiny_tensors: Any, tmp_path: Path
) -> None:
    odd = tiny_tensors(0)
    odd["model.layers.0.mlp.up_proj.weight"] = torch.zeros(50, 32).bfloat16()
    odd |= {f"extra.{number}": torch.zeros(2).bfloat16() for number in range(30)}
    path = save_model(tmp_path / "odd", odd)

    text = _refused(repairing("interpolation", tuned=path))

    assert "31 tensors do not fit" in text
    assert "up_proj.weight is (50, 32) here, (48, 32) in the aligned model" in text
    assert text.count("only in the fine-tune") == 19
    assert "and 11 more" in text


def test_fewer_words_are_another_vocabulary(
    repairing: Repairing, save_model: Any, tiny_tensors: Any, tmp_path: Path
) -> None:
    small = tiny_tensors(0)
    small["lm_head.weight"] = small["lm_head.weight"][:90].clone()
    path = save_model(tmp_path / "small", small)

    text = _refused(repairing("interpolation", tuned=path))

    assert "1 tensor does not fit: lm_head.weight is (90, 32) here, (96, 32)" in text


def test_quantised_models_are_refused(
    repairing: Repairing, save_model: Any, tiny_tensors: Any, tmp_path: Path
) -> None:
    path = save_model(tmp_path / "few-bits", tiny_tensors(0))
    config = json.loads((path / "config.json").read_text())
    config["quantization_config"] = {"quant_method": "gptq"}
    (path / "config.json").write_text(json.dumps(config))

    text = _refused(repairing("interpolation", tuned=path))

    assert text.endswith("few-bits: is quantised (gptq). Dequantise it first.")


def test_missing_inputs_are_named(repairing: Repairing) -> None:
    assert "needs prompts to refuse." in _refused(repairing("safe-delta"), OptionError)
    text = _refused(repairing("irr"), OptionError)
    assert "needs an unaligned model or the pretrained base and texts of the task." in text
    assert "needs harmful texts." in _refused(repairing("antidote"), OptionError)
    text = _refused(repairing("safelora"), OptionError)
    assert "needs the pretrained base or an unaligned model" in text


def test_a_missing_file_is_told_before_anything_runs(repairing: Repairing) -> None:
    text = _refused(repairing("safe-delta", recipe={"safety": "/nowhere.jsonl"}), FileError)

    assert "/nowhere.jsonl: no such file" in text


def test_too_few_tokens_are_warned_of(repairing: Repairing, tmp_path: Path) -> None:
    path = tmp_path / "one.jsonl"
    path.write_text(json.dumps({"prompt": "how?", "response": "No."}))

    report = run(repairing("safe-delta", recipe={"safety": str(path)}), JobControl())

    assert any("only 7 tokens for layers of up to 48 inputs" in one for one in report.warnings)


def test_inputs_that_are_not_finite_are_told_with_their_layer(
    repairing: Repairing, save_model: Any, moved: Any, tiny_tensors: Any, tmp_path: Path
) -> None:
    tensors = moved(tiny_tensors(0), 1)
    name = "model.layers.1.mlp.up_proj.weight"
    tensors[name][3, 3] = float("nan")
    path = save_model(tmp_path / "nan", tensors)
    recipe = repairing("interpolation", tuned=path)

    with pytest.raises(AppError, match=rf"{name}: the repaired weights hold NaN"):
        run(recipe, JobControl())

    assert not Path(recipe.output).exists()


def test_a_curvature_that_cannot_be_factored_names_its_layer(
    repairing: Repairing, save_model: Any, tiny_tensors: Any, moved: Any, tmp_path: Path,
    safety: Path,
) -> None:  # fmt: skip
    tensors = tiny_tensors(0)
    tensors["model.layers.0.input_layernorm.weight"] = torch.full((32,), 1e38).bfloat16()
    aligned = save_model(tmp_path / "aligned", tensors)
    tuned = save_model(tmp_path / "tuned", moved(tensors, 1))
    recipe = repairing("safe-delta", aligned=aligned, tuned=tuned, recipe={"safety": str(safety)})

    with pytest.raises(AppError, match=r"layers\.0\..*tokens"):
        run(recipe, JobControl())


# --- adapters and turned matrices -----------------------------------------------------------


@pytest.fixture
def adapter(tmp_path: Path, tiny_base: Path) -> Path:
    """A LoRA fine-tune of the tiny base: queries and up projections."""
    folder = tmp_path / "adapter"
    folder.mkdir()
    rng = torch.Generator().manual_seed(4)
    tensors = {}
    for block in range(2):
        for layer, rows in (("self_attn.q_proj", 32), ("mlp.up_proj", 48)):
            at = f"base_model.model.model.layers.{block}.{layer}"
            tensors[f"{at}.lora_A.weight"] = 0.3 * torch.randn(4, 32, generator=rng)
            tensors[f"{at}.lora_B.weight"] = 0.3 * torch.randn(rows, 4, generator=rng)
    save_file(tensors, folder / "adapter_model.safetensors")
    (folder / "adapter_config.json").write_text(
        json.dumps(
            {
                "peft_type": "LORA",
                "r": 4,
                "lora_alpha": 2,
                "target_modules": ["q_proj", "up_proj"],
                "base_model_name_or_path": str(tiny_base),
            }
        )
    )
    return folder


def test_safelora_keeps_an_adapter(
    repairing: Repairing, adapter: Path, tiny_base: Path, tiny_expert2: Path
) -> None:
    from deltaworks.methods.safety.projection import project

    base = {"pretrained": {"path": str(tiny_expert2)}}
    recipe = repairing("safelora", tuned=adapter, threshold=1.0, recipe=base)

    report = run(recipe, JobControl())

    out = load_file(Path(recipe.output) / "adapter_model.safetensors")
    before = load_file(adapter / "adapter_model.safetensors")
    at = "base_model.model.model.layers.1.mlp.up_proj"
    assert report.artefacts[0].kind == "adapter"
    assert (Path(recipe.output) / "adapter_config.json").is_file()
    assert torch.equal(out[f"{at}.lora_A.weight"], before[f"{at}.lora_A.weight"])
    name = "model.layers.1.mlp.up_proj.weight"
    vector = _loaded(tiny_base)[name].float() - _loaded(tiny_expert2)[name].float()
    expected = project(vector, before[f"{at}.lora_B.weight"], "approximate")
    assert torch.allclose(out[f"{at}.lora_B.weight"], expected, rtol=1e-4, atol=1e-7)


def test_an_adapters_change_is_taken_unrounded(
    repairing: Repairing, adapter: Path, tiny_base: Path, safety: Path
) -> None:
    recipe = repairing(
        "safe-delta", tuned=adapter, rho=0.99999,
        recipe={"safety": str(safety), "out_dtype": "F32"},
    )  # fmt: skip

    report = run(recipe, JobControl())

    pairs = load_file(adapter / "adapter_model.safetensors")
    at = "base_model.model.model.layers.0.self_attn.q_proj"
    delta = 0.5 * pairs[f"{at}.lora_B.weight"] @ pairs[f"{at}.lora_A.weight"]
    name = "model.layers.0.self_attn.q_proj.weight"
    out = _loaded(recipe.output)[name]
    whole = _loaded(tiny_base)[name].float() + delta
    assert out.dtype == torch.float32
    assert (torch.isclose(out, whole, atol=1e-7)).float().mean() > 0.99
    assert set(report.results["repair"]["layers"]) == {
        f"model.layers.{block}.{layer}.weight"
        for block in range(2)
        for layer in ("self_attn.q_proj", "mlp.up_proj")
    }


def test_a_dense_repair_is_cut_back_to_an_adapter(
    repairing: Repairing, adapter: Path, tiny_base: Path, safety: Path, tmp_path: Path
) -> None:
    shared: dict[str, Any] = {"safety": str(safety), "out_dtype": "F32"}
    dense = repairing("safe-delta", tuned=adapter, rho=0.5, recipe=shared)
    run(dense, JobControl())
    cut = {**shared, "save": "adapter", "output": str(tmp_path / "cut")}

    whole = repairing("safe-delta", tuned=adapter, rho=0.5, recipe={**cut, "rank": 32})
    report = run(whole, JobControl())
    again = repairing("interpolation", tuned=tmp_path / "cut", weight=1.0,
                      recipe={"save": "dense", "out_dtype": "F32",
                              "output": str(tmp_path / "merged")})  # fmt: skip
    run(again, JobControl())

    assert all(one["cut_error"] < 1e-6 for one in report.results["repair"]["layers"].values())
    name = "model.layers.1.mlp.up_proj.weight"
    merged, wanted = _loaded(tmp_path / "merged")[name], _loaded(dense.output)[name]
    assert torch.allclose(merged, wanted, atol=1e-5)


def test_irr_leaves_an_adapters_other_layers_alone(
    repairing: Repairing, adapter: Path, task: Path, tiny_expert2: Path
) -> None:
    recipe = repairing(
        "irr", tuned=adapter,
        recipe={"task": str(task), "unaligned": {"path": str(tiny_expert2)}},
    )  # fmt: skip

    layers = run(recipe, JobControl()).results["repair"]["layers"]

    assert set(layers) == {f"model.layers.{n}.self_attn.q_proj.weight" for n in range(2)}


def test_matrices_stored_the_other_way_round_are_turned(tmp_path: Path) -> None:
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    config = GPT2Config(n_embd=24, n_layer=1, n_head=2, vocab_size=96, n_positions=32)
    model = GPT2LMHeadModel(config)
    folders = []
    for name in ("aligned", "tuned"):
        model.save_pretrained(tmp_path / name)
        folders.append(tmp_path / name)
        with torch.no_grad():
            for key, weight in model.named_parameters():
                if "c_" in key:
                    weight.data += 0.01 * torch.randn_like(weight)
    recipe = parse_recipe(
        {
            "kind": "repair",
            "aligned": {"path": str(folders[0])},
            "tuned": {"path": str(folders[1])},
            "pretrained": {"path": str(folders[1])},
            "setting": {"method": "safelora", "options": {"threshold": 1.0}},
            "output": str(tmp_path / "repaired"),
        }
    )
    assert isinstance(recipe, RepairRecipe)

    run(recipe, JobControl())

    name = "transformer.h.0.mlp.c_fc.weight"
    places: list[Path | str] = [*folders, recipe.output]
    aligned, tuned, out = (_loaded(one)[name] for one in places)
    assert aligned.shape == (24, 96)
    vector, delta = (aligned - tuned).T, (tuned - aligned).T
    expected = aligned + ((vector @ vector.T @ delta) / vector.norm()).T
    assert torch.allclose(out, expected, atol=1e-6)
