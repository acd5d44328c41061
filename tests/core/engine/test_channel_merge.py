"""Channel merging from files to a package and back."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from deltaworks.checkpoints import open_checkpoint
from deltaworks.checkpoints.channel_manifest import MANIFEST, account_of
from deltaworks.checkpoints.channel_package import ChannelExpert
from deltaworks.engine.materialise import materialise
from deltaworks.errors import FileError, MismatchError, OptionError
from deltaworks.progress import JobControl
from deltaworks.recipes import parse_recipe
from deltaworks.studies.jobs import plan_job, run_job


@pytest.fixture
def packing(tiny_base: Path, tiny_expert: Path, tiny_expert2: Path, tmp_path: Path) -> Any:
    """Make a package of the two experts and give its path and the report's facts."""

    def make(name: str = "package", experts: Any = None, **more: Any) -> Any:
        options = {key: more.pop(key) for key in ("groups", "geometry", "rule") if key in more}
        recipe = parse_recipe(
            {
                "kind": "channel-merge",
                "base": {"path": str(tiny_base)},
                "experts": [{"path": str(one)} for one in experts or (tiny_expert, tiny_expert2)],
                "options": options,
                "output": str(tmp_path / name),
                **more,
            }
        )
        plan_job(recipe)
        report = run_job(recipe, JobControl())
        return tmp_path / name, report.results["channels"]

    return make


def _same(one: Any, other: Any) -> bool:
    return set(one.names) == set(other.names) and all(
        np.array_equal(one.read_words(name), other.read_words(name)) for name in one.names
    )


def test_as_many_groups_as_experts_give_each_back_bit_for_bit(
    packing: Any, tiny_expert: Path, tiny_expert2: Path
) -> None:
    package, _ = packing(groups=2)

    for path in (tiny_expert, tiny_expert2):
        with open_checkpoint(f"{package}#{path.name}") as found, open_checkpoint(path) as expert:
            assert _same(found, expert)


def test_one_group_is_the_mean(
    packing: Any, tiny_base: Path, tiny_expert: Path, tiny_expert2: Path
) -> None:
    package, facts = packing(groups=1)

    with (
        open_checkpoint(f"{package}#{tiny_expert.name}") as found,
        open_checkpoint(tiny_base) as base,
        open_checkpoint(tiny_expert) as one,
        open_checkpoint(tiny_expert2) as two,
    ):
        assert isinstance(found, ChannelExpert)
        for name in found.manifest.grouped:
            start = base.read(name).float()
            mean = ((one.read(name).float() - start) + (two.read(name).float() - start)) / 2
            assert torch.equal(found.read(name), (start + mean).bfloat16())
        assert np.array_equal(
            found.read_words("model.embed_tokens.weight"),
            one.read_words("model.embed_tokens.weight"),
        )
    assert 0.2 < facts["error"] < 0.8
    assert facts["as_weights"]["index"] == 0


def test_changes_are_stored_over_the_base(packing: Any, tiny_base: Path, tiny_expert: Path) -> None:
    package, _ = packing(groups=2, store="deltas")

    with (
        open_checkpoint(f"{package}#{tiny_expert.name}") as alone,
        pytest.raises(MismatchError, match=r"its base .* is needed"),
    ):
        alone.read("model.layers.0.self_attn.q_proj.weight")

    path = f"{package}#{tiny_expert.name}"
    with open_checkpoint(path, base=tiny_base) as found, open_checkpoint(tiny_expert) as expert:
        for name in expert.names:
            gap = found.read(name).float() - expert.read(name).float()
            assert float(gap.abs().max()) <= 0.01 * float(expert.read(name).float().abs().max())


def test_another_base_is_refused(
    packing: Any, tiny_stranger: Path, tiny_expert: Path, tiny_expert2: Path, tmp_path: Path
) -> None:
    package, _ = packing(groups=2, store="deltas")
    other = tmp_path / "other"
    shutil.copytree(tiny_stranger, other)
    tensors = load_file(other / "model.safetensors")
    tensors["one.more"] = torch.zeros(3)
    save_file(tensors, other / "model.safetensors", metadata={"format": "pt"})

    with (
        open_checkpoint(f"{package}#{tiny_expert.name}", base=other) as found,
        pytest.raises(MismatchError, match="is not"),
    ):
        found.read("model.layers.0.self_attn.q_proj.weight")


def test_several_experts_add_up_by_weight(
    packing: Any, tiny_base: Path, tiny_expert: Path, tiny_expert2: Path, tmp_path: Path
) -> None:
    package, _ = packing(groups=2)
    wanted = f"{tiny_expert.name}=0.25+{tiny_expert2.name}=0.5"

    materialise(f"{package}#{wanted}", tmp_path / "few", JobControl(), base=str(tiny_base))

    with (
        open_checkpoint(tmp_path / "few") as found,
        open_checkpoint(tiny_base) as base,
        open_checkpoint(tiny_expert) as one,
        open_checkpoint(tiny_expert2) as two,
    ):
        for name in found.names:
            start = base.read(name).float()
            first, second = one.read(name).float() - start, two.read(name).float() - start
            expected = start + 0.25 * first + 0.5 * second
            torch.testing.assert_close(found.read(name).float(), expected, rtol=8e-3, atol=1e-6)


def test_a_materialised_expert_is_a_full_model(
    packing: Any, tiny_expert: Path, tmp_path: Path
) -> None:
    package, _ = packing(groups=2)

    materialise(f"{package}#{tiny_expert.name}", tmp_path / "one", JobControl())

    with open_checkpoint(tmp_path / "one") as found, open_checkpoint(tiny_expert) as expert:
        assert _same(found, expert)
        assert found.config == expert.config
    assert not (tmp_path / "one" / MANIFEST).exists()


def test_parameters_of_two_groups_of_four_are_half(tmp_path: Path) -> None:
    config = {"model_type": "llama", "architectures": ["LlamaForCausalLM"]}
    rng = torch.Generator().manual_seed(0)
    for name in ("base", "a", "b", "c", "d"):
        (tmp_path / name).mkdir()
        tensors = {
            f"model.layers.{i}.self_attn.{which}_proj.weight": torch.randn(16, 24, generator=rng)
            for i in range(2)
            for which in "qv"
        }
        save_file(tensors, tmp_path / name / "model.safetensors", metadata={"format": "pt"})
        (tmp_path / name / "config.json").write_text(json.dumps(config))
    recipe = parse_recipe(
        {
            "kind": "channel-merge",
            "base": {"path": str(tmp_path / "base")},
            "experts": [{"path": str(tmp_path / one)} for one in "abcd"],
            "output": str(tmp_path / "package"),
        }
    )

    facts = run_job(recipe, JobControl()).results["channels"]

    as_weights, as_deltas = facts["as_weights"], facts["as_deltas"]
    assert as_weights["groups"] / as_weights["experts"] == 0.5
    assert as_weights["index"] == 4 * 16 * 4 // 8
    assert as_weights["total"] == as_weights["groups"] + as_weights["index"]
    assert as_deltas["total"] - as_weights["total"] == as_weights["experts"] // 4


def test_equal_own_tensors_are_stored_once(packing: Any, tiny_expert: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(tiny_expert, copy)

    package, facts = packing(experts=[tiny_expert, copy], groups=1)

    with open_checkpoint(f"{package}#copy") as found, open_checkpoint(tiny_expert) as expert:
        assert isinstance(found, ChannelExpert)
        assert _same(found, expert)
        own = {name for name in expert.names if name not in found.manifest.grouped}
        assert facts["as_weights"]["own"] == sum(expert.info(name).nbytes for name in own)
        account = account_of(found.manifest, base_bytes=7, router_bytes=5, deltas=True)
        assert account.total == facts["as_weights"]["total"] + 12
    assert facts["error"] == 0.0


@pytest.mark.parametrize("rule", ["ties", "dare", "sum"])
def test_rules_inside_groups_differ_and_repeat(packing: Any, rule: str, tiny_expert: Path) -> None:
    mean, _ = packing("mean", groups=1)
    one, _ = packing("one", groups=1, rule=rule)
    two, _ = packing("two", groups=1, rule=rule, threads=3)

    name = tiny_expert.name
    with (
        open_checkpoint(f"{mean}#{name}") as plain,
        open_checkpoint(f"{one}#{name}") as first,
        open_checkpoint(f"{two}#{name}") as second,
    ):
        assert _same(first, second)
        assert not _same(plain, first)


def test_an_unknown_expert_and_none_are_refused_with_the_names(
    packing: Any, tiny_expert: Path
) -> None:
    package, _ = packing()

    with pytest.raises(OptionError, match=rf"'nobody' is not in the package.*{tiny_expert.name}"):
        open_checkpoint(f"{package}#nobody")
    with pytest.raises(OptionError, match="no expert is named"):
        open_checkpoint(package)
    with pytest.raises(OptionError, match="'much' is no weight"):
        open_checkpoint(f"{package}#{tiny_expert.name}=much")


def test_a_damaged_package_is_refused(packing: Any, tiny_expert: Path) -> None:
    package, _ = packing()
    manifest = json.loads((package / MANIFEST).read_text())
    name = next(iter(manifest["grouped"]))
    manifest["grouped"][name]["groups"] = 3
    (package / MANIFEST).write_text(json.dumps(manifest))

    with pytest.raises(FileError, match="is not stored as the manifest says"):
        open_checkpoint(f"{package}#{tiny_expert.name}")
