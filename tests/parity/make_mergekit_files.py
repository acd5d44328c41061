"""Record what mergekit 0.1.5 makes of whole files; see README.md for the command.

Not run by the tests: mergekit is not a dependency. It makes tiny models, has mergekit merge
them as every case says, and writes hashes of all tensors, and the numbers themselves where
bits may differ.
"""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from mergekit.config import MergeConfiguration  # type: ignore[import-not-found]
from mergekit.merge import run_merge  # type: ignore[import-not-found]
from mergekit.options import MergeOptions  # type: ignore[import-not-found]
from safetensors.torch import load_file, save_file

Tensors = dict[str, torch.Tensor]
HIDDEN, INNER, LAYERS = 8, 16, 4
CONFIG: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": HIDDEN,
    "intermediate_size": INNER,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "max_position_embeddings": 32,
    "rms_norm_eps": 1e-5,
    "bos_token_id": 1,
    "eos_token_id": 1,
}
SHAPES = {
    "self_attn.q_proj": (HIDDEN, HIDDEN),
    "self_attn.k_proj": (HIDDEN, HIDDEN),
    "self_attn.v_proj": (HIDDEN, HIDDEN),
    "self_attn.o_proj": (HIDDEN, HIDDEN),
    "mlp.gate_proj": (INNER, HIDDEN),
    "mlp.up_proj": (INNER, HIDDEN),
    "mlp.down_proj": (HIDDEN, INNER),
}
LETTERS = "abcdefghijklmnop"
MERGES = ("ab", "cd", "ef", "gh", "abcd", "efgh")
PLAIN = ["<unk>", "</s>", *LETTERS, *MERGES]
LARGE = [*PLAIN, "ij", "<|x|>", "<|y|>"]
OTHER = [*PLAIN[:2], *reversed(LETTERS), *MERGES, "kl"]
ADDED = {"<unk>", "</s>", "<|x|>", "<|y|>"}


# --- models -----------------------------------------------------------------------------------


def weights(seed: int, base: Tensors | None = None, n_tokens: int = len(PLAIN)) -> Tensors:
    """Make a model, or a fine-tune whose changes are a tenth as large as weights."""
    rng = torch.Generator().manual_seed(seed)

    def drawn(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=rng) * 0.05

    changes = {"model.embed_tokens.weight": drawn(n_tokens, HIDDEN)}
    for layer in range(LAYERS):
        at = f"model.layers.{layer}"
        changes |= {f"{at}.{name}.weight": drawn(*shape) for name, shape in SHAPES.items()}
        changes |= {
            f"{at}.{name}.weight": drawn(HIDDEN)
            for name in ("input_layernorm", "post_attention_layernorm")
        }
    changes |= {"model.norm.weight": drawn(HIDDEN), "lm_head.weight": drawn(n_tokens, HIDDEN)}
    if base is None:
        return {name: value + (value.dim() == 1) for name, value in changes.items()}
    return {name: _moved(value, base[name]) for name, value in changes.items()}


def _moved(change: torch.Tensor, start: torch.Tensor) -> torch.Tensor:
    """Move what the base has; rows that it has not are new."""
    moved = change.clone()
    moved[: len(start)] = start + 0.1 * change[: len(start)]
    return moved


def save_model(folder: Path, tensors: Tensors, tokens: list[str], *, is_tied: bool = False) -> None:
    """Write a model with its tokenizer, in float32 and beside it in bfloat16."""
    for suffix, dtype in (("", torch.float32), ("-bf16", torch.bfloat16)):
        place = folder.with_name(folder.name + suffix)
        place.mkdir(parents=True)
        mine = {name: value.to(dtype).contiguous() for name, value in tensors.items()}
        if is_tied:
            del mine["lm_head.weight"]
        save_file(mine, place / "model.safetensors", metadata={"format": "pt"})
        config = CONFIG | {
            "vocab_size": len(tokens),
            "tie_word_embeddings": is_tied,
            "torch_dtype": str(dtype).removeprefix("torch."),
        }
        (place / "config.json").write_text(json.dumps(config, indent=1))
        save_tokenizer(place, tokens)


def save_tokenizer(folder: Path, tokens: list[str]) -> None:
    """Write a byte-pair tokenizer; its merges are the tokens of two letters and more."""
    added = [
        {
            "id": number,
            "content": token,
            "single_word": False,
            "lstrip": False,
            "rstrip": False,
            "normalized": False,
            "special": True,
        }
        for number, token in enumerate(tokens)
        if token in ADDED
    ]
    merges = [
        [one[: len(one) // 2], one[len(one) // 2 :]]
        for one in tokens
        if one not in ADDED and len(one) > 1
    ]
    vocabulary = {one: number for number, one in enumerate(tokens) if one not in ("<|x|>", "<|y|>")}
    document = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added,
        "normalizer": None,
        "pre_tokenizer": None,
        "post_processor": None,
        "decoder": None,
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": "<unk>",
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": vocabulary,
            "merges": merges,
        },
    }
    (folder / "tokenizer.json").write_text(json.dumps(document))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "unk_token": "<unk>",
        "eos_token": "</s>",
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))


def save_adapter(folder: Path, base: str) -> None:
    """Write a LoRA adapter of rank 2 on attention and MLP."""
    rng = torch.Generator().manual_seed(9)
    folder.mkdir(parents=True)
    tensors = {}
    for layer in range(LAYERS):
        for name in ("self_attn.q_proj", "mlp.down_proj"):
            rows, cols = SHAPES[name]
            at = f"base_model.model.model.layers.{layer}.{name}"
            tensors[f"{at}.lora_A.weight"] = torch.randn(2, cols, generator=rng) * 0.1
            tensors[f"{at}.lora_B.weight"] = torch.randn(rows, 2, generator=rng) * 0.1
    save_file(tensors, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base,
        "r": 2,
        "lora_alpha": 3,
        "target_modules": ["q_proj", "down_proj"],
        "bias": "none",
        "fan_in_fan_out": False,
        "inference_mode": True,
    }
    (folder / "adapter_config.json").write_text(json.dumps(config, indent=1))


def save_models(folder: Path) -> None:
    """Write all models of the cases."""
    base = weights(0)
    save_model(folder / "base", base, PLAIN)
    for number, name in enumerate("abc", 1):
        save_model(folder / name, weights(number, base), PLAIN)
    save_model(folder / "tied", base, PLAIN, is_tied=True)
    save_model(folder / "tied-a", weights(1, base), PLAIN, is_tied=True)
    save_model(folder / "large", weights(4, base, len(LARGE)), LARGE)
    save_model(folder / "other", weights(5, base, len(OTHER)), OTHER)
    save_adapter(folder / "lora", "base")


# --- cases ------------------------------------------------------------------------------------

NAMES = ("a", "b", "c")
METHODS: dict[str, dict[str, Any]] = {
    "linear": {"n": 2, "each": {"weight": [0.3, 0.7]}},
    "slerp": {"n": 2, "base": "a", "common": {"t": 0.3}},
    "nuslerp": {"n": 2, "each": {"weight": [0.3, 0.9]}},
    "multislerp": {"n": 3, "each": {"weight": [0.3, 0.9, 0.5]}},
    "karcher": {"n": 3},
    "nearswap": {"n": 1, "base": "base", "common": {"t": 0.003}},
    "arcee_fusion": {"n": 1, "base": "base"},
    "model_stock": {"n": 3, "base": "base"},
    "passthrough": {"n": 1, "each": {"scale": [0.7]}},
    "task_arithmetic": {"n": 3, "base": "base", "each": {"weight": [1.0, -0.4, 0.9]}},
    "ties": {
        "n": 3,
        "base": "base",
        "each": {"weight": [1.0, 0.8, -0.5], "density": [0.5, 0.7, 0.3]},
    },
    "breadcrumbs": {
        "n": 2,
        "base": "base",
        "each": {"weight": [1.0, 0.6], "density": [0.7, 0.5], "gamma": [0.05, 0.1]},
    },
    "breadcrumbs_ties": {
        "n": 3,
        "base": "base",
        "each": {"weight": [1.0, 0.8, 0.5], "density": [0.7, 0.5, 0.6], "gamma": [0.05, 0.1, 0.0]},
    },
    "sce": {"n": 3, "base": "base", "common": {"select_topk": 0.6}},
    "ram": {"n": 3, "base": "base", "common": {"epsilon": 0.003}},
    "ramplus_tl": {"n": 3, "base": "base", "common": {"epsilon": 0.003, "r": 0.3, "alpha": 0.9}},
    "dare_linear": {"n": 2, "base": "base", "each": {"weight": [1.0, 0.6]}},
    "dare_ties": {"n": 3, "base": "base", "each": {"weight": [1.0, 0.8, -0.5]}},
    "della": {"n": 3, "base": "base", "each": {"weight": [1.0, 0.8, -0.5]}},
    "della_linear": {"n": 2, "base": "base", "each": {"weight": [1.0, 0.6]}},
}
MORE: dict[str, dict[str, Any]] = {
    "linear-sum": {
        "method": "linear",
        "n": 3,
        "each": {"weight": [1.0, -0.5, 0.25]},
        "common": {"normalize": False},
    },
    "nuslerp-rows": {
        "method": "nuslerp",
        "n": 2,
        "each": {"weight": [0.3, 0.9]},
        "common": {"nuslerp_flatten": False},
    },
    "nuslerp-columns": {
        "method": "nuslerp",
        "n": 2,
        "each": {"weight": [0.3, 0.9]},
        "common": {"nuslerp_flatten": False, "nuslerp_row_wise": True},
    },
    "nuslerp-base": {"method": "nuslerp", "n": 2, "base": "base", "each": {"weight": [0.3, 0.9]}},
    "multislerp-base": {
        "method": "multislerp",
        "n": 3,
        "base": "base",
        "each": {"weight": [0.3, 0.9, 0.5]},
    },
    "multislerp-sum": {
        "method": "multislerp",
        "n": 3,
        "each": {"weight": [0.3, 0.9, 0.5]},
        "common": {"normalize_weights": False},
    },
    "model-stock-rows": {
        "method": "model_stock",
        "n": 3,
        "base": "base",
        "common": {"filter_wise": True},
    },
    "model-stock-two": {"method": "model_stock", "n": 2, "base": "base"},
    "task-arithmetic-mean": {
        "method": "task_arithmetic",
        "n": 2,
        "base": "base",
        "each": {"weight": [1.0, 2.0]},
        "common": {"normalize": True, "lambda": 0.7},
    },
    "ties-sum": {
        "method": "ties",
        "n": 2,
        "base": "base",
        "each": {"weight": [1.0, 0.5], "density": [0.5, 0.25]},
        "common": {"normalize": False, "rescale": True, "lambda": 0.7, "int8_mask": True},
    },
    "ties-whole": {"method": "ties", "n": 3, "base": "base", "each": {"weight": [0.3, 0.7, 0.2]}},
    "breadcrumbs-mean": {
        "method": "breadcrumbs",
        "n": 2,
        "base": "base",
        "each": {"weight": [1.0, 0.5], "density": [0.9, 0.6], "gamma": [0.3, 0.05]},
        "common": {"normalize": True, "rescale": True, "lambda": 0.7},
    },
    "sce-all": {"method": "sce", "n": 3, "base": "base"},
    "karcher-short": {"method": "karcher", "n": 3, "common": {"max_iter": 2, "tol": 1e-3}},
}
WAYS = ("plain", "gradient", "filter", "slices", "tied", "vocabulary", "lora")
GRADIENT = [0.1, 0.9, 0.4]


def cases() -> dict[str, dict[str, Any]]:
    """Give every case: its file, by its name."""
    found = {}
    for dtype in ("", "-bf16"):
        for name, facts in {**METHODS, **MORE}.items():
            for way in WAYS if name in METHODS else WAYS[:1]:
                document = case(facts | {"method": facts.get("method", name)}, way, dtype)
                if document is not None:
                    found[f"{name}-{way}{dtype}"] = document
    return {**found, **special_cases()}


def case(facts: dict[str, Any], way: str, suffix: str) -> dict[str, Any] | None:
    """Write the file of one method in one way; None where it makes no difference."""
    place = {name: f"{name}{suffix}" for name in ("base", *NAMES)}
    if way == "tied":
        place |= {"base": f"tied{suffix}", "a": f"tied-a{suffix}"}
    elif way == "vocabulary":
        place |= {"a": f"large{suffix}"}
    elif way == "lora":
        place |= {"a": f"base{suffix}+lora"}
    models = [place[name] for name in NAMES[: facts["n"]]]
    base = facts.get("base")
    each, common = dict(facts.get("each", {})), dict(facts.get("common", {}))
    if not _vary(way, each, common, facts["n"]):
        return None
    own = [{key: values[number] for key, values in each.items()} for number in range(facts["n"])]
    document: dict[str, Any] = {"merge_method": facts["method"]}
    if base:
        document["base_model"] = place[base]
    if common:
        document["parameters"] = common
    entries = [
        {"model": m} | ({"parameters": o} if o else {}) for m, o in zip(models, own, strict=True)
    ]
    if way == "slices":
        names = [entry["model"] for entry in entries]
        if base and place[base] not in names:
            entries = [{"model": place[base]}, *entries]
        document["slices"] = [
            {
                "sources": [
                    {**entry, "layer_range": [n % 2, n % 2 + 2]} for n, entry in enumerate(entries)
                ]
            },
            {"sources": [{**entry, "layer_range": [1, 4]} for entry in entries]},
        ]
    else:
        document["models"] = entries
    if way == "vocabulary":
        document["tokenizer"] = {"source": "union", "pad_to_multiple_of": 4}
    return document


def _vary(way: str, each: dict[str, Any], common: dict[str, Any], count: int) -> bool:
    """Make the first parameter a gradient or a filter, in place; False if there is none."""
    if way not in {"gradient", "filter"}:
        return True
    pattern: Any = GRADIENT
    for scope in (common, each):
        for key, value in scope.items():
            number = value[0] if scope is each else value
            if isinstance(number, bool):
                continue
            size = abs(number)
            pattern = [round(size * part, 4) for part in GRADIENT]
            if way == "filter":
                pattern = [
                    {"filter": "self_attn", "value": round(size * 0.5, 4)},
                    {"filter": "mlp", "value": pattern},
                    {"value": number},
                ]
            scope[key] = [pattern, *value[1:]] if scope is each else pattern
            return True
    return False


def special_cases() -> dict[str, dict[str, Any]]:
    """Files that no method has to itself."""
    pair = [
        {"model": "a", "parameters": {"weight": 0.3}},
        {"model": "b", "parameters": {"weight": 0.7}},
    ]
    halves = [{**one, "model": one["model"] + "-bf16"} for one in pair]
    linear = {"merge_method": "linear", "models": pair}
    stack = [
        {"sources": [{"model": "a", "layer_range": [0, 3]}]},
        {"sources": [{"model": "b", "layer_range": [1, 4]}]},
    ]
    arithmetic = {"merge_method": "task_arithmetic", "base_model": "base", "models": pair}
    unions = [
        {"model": "base"},
        *({**one, "model": m} for one, m in zip(pair, ("large", "other"), strict=True)),
    ]
    union = {"merge_method": "task_arithmetic", "base_model": "base", "models": unions}
    rules = {
        "<|x|>": {"source": {"kind": "zero"}},
        "ij": {"source": {"kind": "model_token", "model": "base", "token": "ab"}},
        "kl": {"source": {"kind": "model_token", "model": "large", "token_id": 5}, "force": True},
        "<new>": {"source": {"kind": "model_token", "model": "base", "token": "ab"}},
        "cd": {"source": "large", "force": True},
    }
    return {
        "oracle-gradient": {
            "merge_method": "linear",
            "models": [
                {"model": "a", "parameters": {"weight": [0, 1]}},
                {"model": "b", "parameters": {"weight": [1, 0]}},
            ],
        },
        "frankenmerge": {"merge_method": "passthrough", "slices": stack},
        "frankenmerge-base": {
            "merge_method": "passthrough",
            "base_model": "c",
            "slices": stack,
            "dtype": "bfloat16",
        },
        "layers-repeated": {
            "merge_method": "passthrough",
            "slices": [
                {"sources": [{"model": "a", "layer_range": [0, 3]}]},
                {
                    "sources": [
                        {
                            "model": "a",
                            "layer_range": [1, 4],
                            "parameters": {
                                "scale": [
                                    {"filter": "o_proj", "value": 0.0},
                                    {"filter": "down_proj", "value": 0.0},
                                    {"value": 1.0},
                                ]
                            },
                        }
                    ]
                },
            ],
        },
        "filter-of-layers": {
            "merge_method": "task_arithmetic",
            "base_model": "base",
            "parameters": {
                "lambda": [{"filter": "layers.0.", "value": 0.5}, {"filter": "*", "value": 2.0}]
            },
            "slices": [
                {
                    "sources": [
                        {"model": "base", "layer_range": [2, 4]},
                        {
                            "model": "a",
                            "layer_range": [2, 4],
                            "parameters": {
                                "weight": [{"filter": "layers.2.", "value": 0.3}, {"value": 0.9}]
                            },
                        },
                    ]
                }
            ],
        },
        "slice-parameters": {
            "merge_method": "linear",
            "parameters": {"weight": 0.1, "normalize": False},
            "slices": [
                {
                    "sources": [
                        {"model": "a", "layer_range": [0, 2]},
                        {"model": "b", "layer_range": [2, 4]},
                    ],
                    "parameters": {"weight": [1.0, 2.0]},
                },
                {
                    "sources": [
                        {"model": "a", "layer_range": [3, 4], "parameters": {"weight": [3.0, 4.0]}},
                        {"model": "c", "layer_range": [0, 1]},
                    ]
                },
            ],
        },
        "slice-base": {
            "merge_method": "slerp",
            "base_model": "a",
            "parameters": {"t": 0.25},
            "slices": [
                {
                    "base_model": "b",
                    "sources": [
                        {"model": "a", "layer_range": [0, 2]},
                        {"model": "b", "layer_range": [0, 2]},
                    ],
                },
                {
                    "sources": [
                        {"model": "a", "layer_range": [2, 4]},
                        {"model": "b", "layer_range": [2, 4]},
                    ]
                },
            ],
        },
        "modules": {
            "merge_method": "linear",
            "parameters": {"normalize": True},
            "modules": {"default": {"models": pair, "parameters": {"normalize": False}}},
        },
        "base-counts": {
            "merge_method": "linear",
            "base_model": "base",
            "parameters": {"weight": 0.5},
            "models": [{"model": "a"}],
        },
        "one-filter": {
            "merge_method": "linear",
            "parameters": {"weight": 1.0},
            "models": [
                {"model": "a", "parameters": {"weight": {"filter": "mlp", "value": 0.2}}},
                {"model": "b"},
            ],
        },
        "gradient-of-flags": {
            "merge_method": "ties",
            "base_model": "base",
            "parameters": {"normalize": [True, False]},
            "models": pair,
        },
        "dtype-half": {**arithmetic, "dtype": "bfloat16"},
        "dtype-half-out": {**arithmetic, "dtype": "bfloat16", "out_dtype": "float32"},
        "dtype-out-half": {**arithmetic, "dtype": "float32", "out_dtype": "bfloat16"},
        "dtype-float16": {**arithmetic, "dtype": "float16"},
        "dtype-wide": {**linear, "models": halves, "dtype": "float32"},
        "dtype-mixed": {**linear, "models": [pair[0], halves[1]]},
        "linear-float16": {**linear, "dtype": "float16"},
        "tied-all": {
            "merge_method": "linear",
            "models": [{**pair[0], "model": "tied"}, {**pair[1], "model": "tied-a"}],
        },
        "union": {**union, "tokenizer_source": "union"},
        "union-of-base": {**union, "tokenizer_source": "base"},
        "union-of-model": {**union, "tokenizer": {"source": "other"}},
        "union-of-model-linear": {
            "merge_method": "linear",
            "models": unions[1:],
            "tokenizer": {"source": "large"},
        },
        "union-linear": {
            "merge_method": "linear",
            "models": unions[1:],
            "tokenizer_source": "union",
        },
        "union-rules": {
            **union,
            "tokenizer": {"source": "union", "tokens": rules, "pad_to_multiple_of": 8},
        },
        "union-half": {
            **union,
            "models": [{**one, "model": one["model"] + "-bf16"} for one in unions],
            "base_model": "base-bf16",
            "tokenizer_source": "union",
        },
        "base-adapter": {
            "merge_method": "task_arithmetic",
            "base_model": "base",
            "models": [{"model": "base+lora", "parameters": {"weight": 1.0}}],
        },
        "truncated": {
            **arithmetic,
            "models": [{**pair[0], "model": "large"}, pair[1]],
            "_truncates": True,
        },
    }


# --- recording --------------------------------------------------------------------------------


ADAPTED = ("q_proj", "down_proj")
PADDED = ("embed_tokens", "lm_head")
"""Tensors whose numbers are kept, as they may differ in their last bits."""


SORTING = {"ties", "breadcrumbs", "breadcrumbs_ties", "sce"}
"""Methods that select by size."""

_argsort = torch.argsort


def _stable_argsort(values: torch.Tensor, dim: int = -1, descending: bool = False) -> torch.Tensor:
    return _argsort(values, dim=dim, descending=descending, stable=True)


def _stable_sort(values: torch.Tensor, dim: int = -1, descending: bool = False) -> Any:
    order = _stable_argsort(values, dim, descending)
    return torch.return_types.sort((values.gather(dim, order), order))


def _stable_topk(values: torch.Tensor, k: int, dim: int = -1, largest: bool = True) -> Any:
    order = _stable_argsort(values, dim, largest).narrow(dim, 0, k)
    return values.gather(dim, order), order


def sort_stably() -> None:
    """Have equals keep their order: the first of them are the ones that are selected."""
    torch.argsort = _stable_argsort  # type: ignore[assignment]
    torch.sort = _stable_sort  # type: ignore[assignment]
    torch.topk = _stable_topk  # type: ignore[assignment]


def main(folder: Path) -> None:
    """Write models, cases and numbers into a new folder."""
    torch.set_num_threads(1)
    sort_stably()
    logging.disable(logging.WARNING)
    shutil.rmtree(folder, ignore_errors=True)
    save_models(folder / "models")
    recorded, numbers = [], {}
    for name, document in cases().items():
        tensors, config, tokens = merged(document, folder / "models")
        tensors = comparable(name, document, tensors, tokens)
        entry = {
            "name": name,
            "file": document,
            "tensors": " ".join(described(tensors[key]) for key in sorted(tensors)),
            "config": [config.get(key) for key in ("num_hidden_layers", "vocab_size")],
        }
        if document["merge_method"] in SORTING:
            entry["sort"] = "stable"
        if tokens is not None:
            entry["tokens"] = sorted(tokens)
        recorded.append(entry)
        text = json.dumps(document)
        kinds = ADAPTED * ("+lora" in text) + PADDED * ("pad_to" in text)
        for key, value in tensors.items():
            if any(kind in key for kind in kinds):
                numbers[described(value)] = value
    text = json.dumps({"peer": "mergekit 0.1.5", "torch": torch.__version__, "cases": recorded})
    (folder / "cases.json").write_text(text.replace('{"name"', '\n{"name"') + "\n")
    save_file(numbers, folder / "numbers.safetensors")
    sys.stdout.write(f"{len(recorded)} cases\n")


def comparable(
    name: str, document: dict[str, Any], tensors: Tensors, tokens: dict[str, int] | None
) -> Tensors:
    """Undo what depends on the run, or on types that we do not widen.

    Rows of token matrices come in the order of their tokens' text: the order in which
    mergekit joins vocabularies differs from run to run. Two methods give float32 for half
    inputs; ours rounds that to the inputs' type.
    """
    found = dict(tensors)
    if tokens is not None:
        order = [tokens[token] for token in sorted(tokens)]
        for key, value in tensors.items():
            if len(value) >= len(tokens) and ("embed" in key or "lm_head" in key):
                rest = [row for row in range(len(value)) if row not in set(order)]
                found[key] = value[torch.tensor(order + rest)]
    if document["merge_method"] in {"ramplus_tl", "arcee_fusion"} and name.endswith("-bf16"):
        found = {key: value.bfloat16() for key, value in found.items()}
    return found


def merged(
    document: dict[str, Any], models: Path
) -> tuple[Tensors, dict[str, Any], dict[str, int] | None]:
    """Have mergekit merge."""
    options: dict[str, Any] = {"quiet": True, "write_model_card": False}
    if document.get("_truncates"):
        options["unsafe_truncate_embeddings"] = True
    mine = placed({key: value for key, value in document.items() if key[0] != "_"}, models)
    out = Path(tempfile.mkdtemp())
    try:
        options["lora_merge_cache"] = str(out / "lora")
        run_merge(MergeConfiguration.model_validate(mine), str(out), MergeOptions(**options))
        tensors = load_file(out / "model.safetensors")
        config = json.loads((out / "config.json").read_text())
        tokens = None
        if "tokenizer" in document or "tokenizer_source" in document:
            from transformers import AutoTokenizer

            tokens = AutoTokenizer.from_pretrained(out).get_vocab()
    finally:
        shutil.rmtree(out)
    return tensors, config, tokens


KEYS = ("model", "base_model", "tokenizer_source", "source")


def placed(value: Any, models: Path, key: str = "") -> Any:
    """Put the folder before every model's name."""
    if isinstance(value, dict):
        return {name: placed(part, models, name) for name, part in value.items()}
    if isinstance(value, list):
        return [placed(part, models) for part in value]
    if key in KEYS and isinstance(value, str) and value not in {"union"}:
        if value == "base" and key in {"tokenizer_source"}:
            return value
        return "+".join(str(models / part) for part in value.split("+"))
    return value


def described(value: torch.Tensor) -> str:
    """Give a letter for the dtype, and a hash of the bytes."""
    raw = value.contiguous().view(-1).view(torch.uint8).numpy().tobytes()
    return LETTER[value.dtype] + hashlib.blake2b(raw, digest_size=6).hexdigest()


LETTER = {torch.float32: "F", torch.bfloat16: "B", torch.float16: "H"}


if __name__ == "__main__":
    main(Path(sys.argv[1]))
