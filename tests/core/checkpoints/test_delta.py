from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from deltaworks.checkpoints import (
    Checkpoint,
    DeltaCheckpoint,
    DeltaWriter,
    ModelWriter,
    TensorInfo,
    open_checkpoint,
    tensor_hash,
    verify_checkpoint,
)
from deltaworks.checkpoints.output_file import OutputFile
from deltaworks.errors import CancelledError, FileError, MismatchError
from deltaworks.methods import compression_method
from deltaworks.methods.compression_record import TensorPair
from deltaworks.methods.method import TensorSpec
from deltaworks.progress import JobControl, Warned

SEED = 5
Write = Callable[..., Path]


def add_all(writer: DeltaWriter, base: Checkpoint, expert: Checkpoint, method_id: str) -> None:
    """Store every tensor: equal ones as such, block matrices by the method, the rest exactly."""
    for name in expert.names:
        info, tuned = expert.info(name), expert.read_words(name)
        known = name in base and base.info(name) == info
        base_hash = tensor_hash(base.read_words(name)) if known else ""
        if base_hash == tensor_hash(tuned):
            writer.same(name, base_hash)
            continue
        codec = method_id if "_proj" in name else "lossless"
        method = compression_method(codec)
        pair = TensorPair(
            TensorSpec(name, info.shape, SEED),
            base.read(name) if known else None,
            expert.read(name),
        )
        parts = method.encode(pair, method.options())
        writer.add(info, codec, parts, base_hash=base_hash, tuned_hash=tensor_hash(tuned))


def test_delta_files_of_earlier_versions_are_checked_with_their_own_hashes(
    write_delta: Write,
    tiny_base: Path,
    tiny_expert: Path,
    tiny_stranger: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hashed = tensor_hash
    monkeypatch.setitem(add_all.__globals__, "tensor_hash", lambda words: hashed(words, like="old"))
    path = write_delta(tiny_expert)
    monkeypatch.undo()

    with open_checkpoint(path, base=tiny_base) as delta, open_checkpoint(tiny_expert) as expert:
        recorded = delta.manifest.base.tensors
        assert recorded
        assert not any(known.startswith("blake3:") for known in recorded.values())
        for name in expert.names:
            assert (delta.read_words(name) == expert.read_words(name)).all()
    with (
        open_checkpoint(path, base=tiny_stranger) as delta,
        pytest.raises(MismatchError, match="differs in the base"),
    ):
        delta.check_base(JobControl())


@pytest.fixture
def write_delta(tmp_path: Path, tiny_base: Path) -> Write:
    """Write a delta file as an engine would; the method's options are its defaults."""

    def write(
        expert: Path, name: str = "x.safetensors", method: str = "lossless", **options: Any
    ) -> Path:
        with open_checkpoint(tiny_base) as base, open_checkpoint(expert, base=base) as tuned:
            writer = DeltaWriter(
                tmp_path / name,
                base=base,
                expert=tuned,
                method=method,
                options=compression_method(method).options().model_dump(mode="json"),
                seed=SEED,
                recipe={"kind": "compress"},
                **options,
            )
            add_all(writer, base, tuned, method)
            return writer.finish(lambda sizes: {"sizes": sizes})

    return write


@pytest.fixture
def lossless(write_delta: Write, tiny_expert2: Path, tiny_base: Path) -> Iterator[DeltaCheckpoint]:
    """A lossless delta of the sharded expert, open over its base."""
    with open_checkpoint(write_delta(tiny_expert2), base=tiny_base) as delta:
        assert isinstance(delta, DeltaCheckpoint)
        yield delta


def test_a_lossless_delta_looks_like_its_expert(
    lossless: DeltaCheckpoint, tiny_expert2: Path
) -> None:
    with open_checkpoint(tiny_expert2) as expert:
        assert lossless.names == expert.names
        assert lossless.config == expert.config
        for name in expert.names:
            assert lossless.info(name) == expert.info(name)
            assert torch.equal(lossless.read(name), expert.read(name))
            words = lossless.read_words(name, slice(1, 3))
            assert (words == expert.read_words(name, slice(1, 3))).all()
    assert lossless.is_exact
    assert lossless.manifest.same


def test_every_file_of_the_expert_comes_back_byte_for_byte(
    lossless: DeltaCheckpoint, tiny_expert2: Path, tmp_path: Path, control: JobControl
) -> None:
    infos = [lossless.info(name) for name in lossless.names]

    with ModelWriter(
        tmp_path / "again",
        infos,
        side_files=lossless.side_file_bytes(),
        headers=lossless.original_headers(),
    ) as writer:
        for info in infos:
            writer.write(info.name, lossless.read_words(info.name))
        writer.commit(control)

    theirs = {file.name: file.read_bytes() for file in tiny_expert2.iterdir()}
    assert {file.name: file.read_bytes() for file in (tmp_path / "again").iterdir()} == theirs


def test_a_lossy_delta_decodes_what_was_encoded(
    write_delta: Write, tiny_expert: Path, tiny_base: Path
) -> None:
    method = compression_method("sign")
    name = "model.layers.0.mlp.up_proj.weight"

    path = write_delta(tiny_expert, method="sign")

    with open_checkpoint(tiny_base) as base, open_checkpoint(tiny_expert) as expert:
        spec = TensorSpec(name, (48, 32), SEED)
        pair = TensorPair(spec, base.read(name), expert.read(name))
        assert method.decode is not None
        change = method.decode(method.encode(pair, method.options()), spec, method.options())
        with open_checkpoint(path, base=base) as delta:
            assert isinstance(delta, DeltaCheckpoint)
            assert not delta.is_exact
            expected = (base.read(name).float() + change).bfloat16()
            assert torch.equal(delta.read(name), expected)
            assert torch.equal(delta.read(name, slice(3, 9)), expected[3:9])


def test_the_same_calls_give_the_same_bytes(write_delta: Write, tiny_expert2: Path) -> None:
    one = write_delta(tiny_expert2, "one.safetensors", job_id="1")
    other = write_delta(tiny_expert2, "other.safetensors")

    assert one.read_bytes() == other.read_bytes()


def test_the_sizes_inside_are_those_of_the_file(
    write_delta: Write, tiny_expert2: Path, tiny_base: Path
) -> None:
    path = write_delta(tiny_expert2, method="sign")

    with open_checkpoint(path) as delta:
        assert isinstance(delta, DeltaCheckpoint)
        sizes = delta.report["sizes"]
        assert sizes["file_bytes"] == path.stat().st_size == sum(sizes["by_kind"].values())
        assert sizes["original_bytes"] == delta.original_bytes
        assert delta.original_bytes == sum(
            file.stat().st_size for file in tiny_expert2.glob("*.safetensors")
        )
        assert sizes["by_kind"]["codes"] == sum(
            delta.stored_bytes(name)
            for name, stored in delta.manifest.tensors.items()
            if stored.codec == "sign"
        )
        assert delta.recipe == {"kind": "compress"}


def test_any_safetensors_reader_reads_the_parts(write_delta: Write, tiny_expert: Path) -> None:
    path = write_delta(tiny_expert)

    assert "__file__::config.json" in load_file(path)


def test_without_its_base_a_delta_is_described_but_not_read(
    write_delta: Write, tiny_expert2: Path
) -> None:
    with open_checkpoint(write_delta(tiny_expert2)) as delta:
        assert delta.info("lm_head.weight").shape == (96, 32)
        assert delta.config["model_type"] == "llama"
        for name in ("lm_head.weight", "model.layers.0.mlp.up_proj.weight"):
            with pytest.raises(MismatchError, match="its base base is not known here"):
                delta.read(name)


def test_another_base_is_refused_at_the_tensor_that_differs(
    lossless: DeltaCheckpoint, tiny_stranger: Path, control: JobControl
) -> None:
    name = "model.layers.0.mlp.up_proj.weight"

    with open_checkpoint(lossless.path, base=tiny_stranger) as delta:
        assert isinstance(delta, DeltaCheckpoint)
        with pytest.raises(MismatchError, match=rf"{name}: differs in the base"):
            delta.read(name)
        norm = "model.norm.weight"  # all ones in both
        assert torch.equal(delta.read(norm), lossless.read(norm))
        with pytest.raises(MismatchError):
            delta.check_base(control)


def test_a_base_that_lacks_a_tensor_is_refused(
    lossless: DeltaCheckpoint, tmp_path: Path, control: JobControl
) -> None:
    save_file({"x": torch.ones(1)}, tmp_path / "small.safetensors")

    with open_checkpoint(lossless.path, base=tmp_path / "small.safetensors") as delta:
        assert isinstance(delta, DeltaCheckpoint)
        with pytest.raises(MismatchError, match="is not in the base"):
            delta.check_base(control)


def test_the_right_base_passes_and_stop_is_heard(
    lossless: DeltaCheckpoint, control: JobControl
) -> None:
    lossless.check_base(control)
    control.cancelled.set()

    with pytest.raises(CancelledError):
        lossless.check_base(control)


def test_tied_tensors_are_stored_once(tmp_path: Path, tiny_base: Path) -> None:
    table = torch.randn(4, 3, generator=torch.Generator().manual_seed(0)).bfloat16()
    save_file({"head": table, "table": table.clone()}, tmp_path / "tied.safetensors")
    with open_checkpoint(tiny_base) as base, open_checkpoint(tmp_path / "tied.safetensors") as tied:
        writer = DeltaWriter(
            tmp_path / "d.safetensors",
            base=base,
            expert=tied,
            method="lossless",
            options={},
            seed=0,
            recipe={},
        )
        method = compression_method("lossless")
        pair = TensorPair(TensorSpec("table", (4, 3)), None, table)
        writer.add(
            TensorInfo("table", (4, 3), "BF16"),
            "lossless",
            method.encode(pair, method.options()),
            base_hash="",
        )
        writer.alias("head", "table")
        path = writer.finish(lambda _sizes: {})

    with open_checkpoint(path, base=tiny_base) as delta:
        assert torch.equal(delta.read("head"), table)
        assert torch.equal(delta.read("table"), table)


def test_a_delta_of_an_adapter_stands_for_the_merged_model(
    write_delta: Write, tiny_base: Path, tmp_path: Path, control: JobControl
) -> None:
    folder = tmp_path / "adapter"
    folder.mkdir()
    (folder / "adapter_config.json").write_text('{"peft_type": "LORA", "r": 2, "lora_alpha": 2}')
    at = "base_model.model.model.layers.0.self_attn.q_proj"
    factors = {f"{at}.lora_A.weight": torch.ones(2, 32), f"{at}.lora_B.weight": torch.ones(32, 2)}
    save_file(factors, folder / "adapter_model.safetensors")

    path = write_delta(folder)

    with open_checkpoint(path, base=tiny_base) as delta, open_checkpoint(tiny_base) as base:
        assert isinstance(delta, DeltaCheckpoint)
        name = "model.layers.0.self_attn.q_proj.weight"
        assert torch.equal(delta.read(name), (base.read(name).float() + 2).bfloat16())
        assert list(delta.original_headers()) == ["model.safetensors"]
        assert "adapter_config.json" not in delta.side_file_bytes()
    assert verify_checkpoint(path, control, base=tiny_base) == []


def test_a_forgotten_tensor_is_a_bug_and_leaves_nothing(tiny_base: Path, tmp_path: Path) -> None:
    with open_checkpoint(tiny_base) as base:
        writer = DeltaWriter(
            tmp_path / "out" / "d.safetensors",
            base=base,
            expert=base,
            method="lossless",
            options={},
            seed=0,
            recipe={},
        )
        with pytest.raises(ValueError, match="not stored, or not of the expert"):
            writer.finish(lambda _sizes: {})
    assert list(tmp_path.iterdir()) == []


def test_reading_back_stops_at_once_and_leaves_nothing(
    tiny_base: Path, tiny_expert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deltaworks.checkpoints.output_file._COPY_BYTES", 64)
    monkeypatch.setattr("deltaworks.checkpoints.delta_writer._PIECE_BYTES", 64)
    control, read_at, n_reads = JobControl(), OutputFile.read_at, 0
    n_moved = 0

    def count(self: OutputFile, n_bytes: int, offset: int) -> bytes:
        nonlocal n_reads
        n_reads += 1
        if n_reads == n_moved + 40:
            control.cancelled.set()
        return read_at(self, n_bytes, offset)

    with open_checkpoint(tiny_base) as base, open_checkpoint(tiny_expert) as expert:
        writer = DeltaWriter(
            tmp_path / "d.safetensors",
            base=base,
            expert=expert,
            method="lossless",
            options={},
            seed=SEED,
            recipe={},
        )
        add_all(writer, base, expert, "lossless")
        n_moved = -(-sum(writer.bytes_by_kind.values()) // 64)
        monkeypatch.setattr(OutputFile, "read_at", count)

        with pytest.raises(CancelledError):
            writer.finish(lambda _sizes: {}, control)

    assert n_reads == n_moved + 40
    assert list(tmp_path.iterdir()) == []


def test_an_existing_file_is_never_replaced(write_delta: Write, tiny_expert: Path) -> None:
    path = write_delta(tiny_expert)
    before = path.read_bytes()

    with pytest.raises(FileError, match="is there already"):
        write_delta(tiny_expert)
    assert path.read_bytes() == before


def test_a_file_made_in_the_meantime_is_kept(
    tiny_base: Path, tiny_expert: Path, tmp_path: Path
) -> None:
    target = tmp_path / "d.safetensors"
    with open_checkpoint(tiny_base) as base, open_checkpoint(tiny_expert) as expert:
        writer = DeltaWriter(
            target, base=base, expert=expert, method="lossless", options={}, seed=SEED, recipe={}
        )
        add_all(writer, base, expert, "lossless")
        target.write_text("mine")

        with pytest.raises(FileError, match="in the meantime"):
            writer.finish(lambda _sizes: {})

    assert [path.name for path in tmp_path.iterdir()] == ["d.safetensors"]
    assert target.read_text() == "mine"


def test_verifying_a_sound_delta_finds_nothing(
    lossless: DeltaCheckpoint, tiny_base: Path, control: JobControl
) -> None:
    assert verify_checkpoint(lossless.path, control, base=tiny_base) == []


def test_verifying_without_the_base_says_what_was_not_done(
    lossless: DeltaCheckpoint, control: JobControl, warned: Callable[[], list[Warned]]
) -> None:
    assert verify_checkpoint(lossless.path, control) == []
    assert "its base is not known" in warned()[0].text


def test_verifying_finds_a_flipped_bit(
    lossless: DeltaCheckpoint, tiny_base: Path, tmp_path: Path, control: JobControl
) -> None:
    path = tmp_path / "flipped.safetensors"
    shutil.copy(lossless.path, path)
    raw = bytearray(path.read_bytes())
    raw[-40] ^= 16
    path.write_bytes(raw)

    whole, fault = verify_checkpoint(path, control, base=tiny_base)

    assert "its data is not as it was written" in whole
    assert "model.layers.1.self_attn" in fault
    assert "damaged" in fault
    assert "\n" not in fault


def test_verifying_over_the_wrong_base_names_the_tensors(
    lossless: DeltaCheckpoint, tiny_stranger: Path, control: JobControl
) -> None:
    faults = verify_checkpoint(lossless.path, control, base=tiny_stranger)

    assert len(faults) == len(lossless.names) - 5  # the norms are ones in both
    assert all("differs in the base" in fault for fault in faults)
