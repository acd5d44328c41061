"""mergekit files in: the part of its YAML that this version can honour in full.

Anything else is refused by name; nothing is ignored. Source: the file format as
described in the merging specification, 3.5.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from deltaworks.errors import OptionError
from deltaworks.recipes.schema import MergeInput, MergeRecipe, ModelRef, Setting

_REQUIRED = object()


@dataclass(frozen=True, slots=True)
class _Peer:
    """One of its methods: our id, and its parameters with its own defaults.

    Args:
        id: of our method.
        base: ``needed``; ``alike`` where it is a model like the others; ``deltas`` where
            naming one means to merge what the models changed in it.
        common: parameters of the merge.
        each: parameters of every expert.
    """

    id: str
    base: Literal["needed", "alike", "deltas"]
    common: Mapping[str, Any] = field(default_factory=dict)
    each: Mapping[str, Any] = field(default_factory=dict)

    @property
    def takes_base(self) -> bool:
        """Whether a base stands apart from the experts."""
        return self.base != "alike"


_WEIGHT = {"weight": _REQUIRED}
_SPARSE = _WEIGHT | {"density": 1.0}
_TIES = {"normalize": True, "rescale": False, "lambda": 1.0}
_DELLA = _TIES | {"rescale": True}
_PLAIN = _TIES | {"normalize": False}
_METHODS = {
    "linear": _Peer("linear", "alike", {"normalize": True}, _WEIGHT),
    "slerp": _Peer("slerp", "needed", {"t": _REQUIRED}),
    "nuslerp": _Peer(
        "nuslerp", "deltas", {"nuslerp_flatten": True, "nuslerp_row_wise": False}, _WEIGHT
    ),
    "multislerp": _Peer("multislerp", "deltas", {"normalize_weights": True}, _WEIGHT),
    "karcher": _Peer("karcher", "alike", {"max_iter": 10, "tol": 1e-5}),
    "nearswap": _Peer("nearswap", "needed", {"t": _REQUIRED}),
    "arcee_fusion": _Peer("arcee-fusion", "needed"),
    "model_stock": _Peer("model-stock", "needed", {"filter_wise": False}),
    "task_arithmetic": _Peer(
        "task-arithmetic", "needed", {"normalize": False, "lambda": 1.0}, _WEIGHT
    ),
    "ties": _Peer("ties", "needed", _TIES, _SPARSE),
    "dare_linear": _Peer("dare-linear", "needed", _PLAIN | {"rescale": True}, _SPARSE),
    "dare_ties": _Peer("dare-ties", "needed", _PLAIN | {"rescale": True}, _SPARSE),
    "breadcrumbs": _Peer("breadcrumbs", "needed", _PLAIN, _SPARSE | {"gamma": 0.01}),
    "breadcrumbs_ties": _Peer("breadcrumbs-ties", "needed", _PLAIN, _SPARSE | {"gamma": 0.01}),
    "della": _Peer("della", "needed", _DELLA, _SPARSE | {"epsilon": 0.15}),
    "della_linear": _Peer(
        "della-linear", "needed", _DELLA | {"normalize": False}, _SPARSE | {"epsilon": 0.15}
    ),
    "sce": _Peer("sce", "needed", {"select_topk": 1.0}),
    "ram": _Peer("ram", "needed", {"epsilon": 1e-5}),
    "ramplus_tl": _Peer("ramplus-tl", "needed", {"epsilon": 1e-5, "r": 0.1, "alpha": 0.2}),
}
_OURS = {"lambda": "scale", "normalize_weights": "normalize"}
"""Its parameters that we call otherwise."""
_DTYPES = {"float32": "F32", "float16": "F16", "bfloat16": "BF16", "float64": "F64"}
_KNOWN = ("merge_method", "base_model", "models", "parameters", "dtype", "out_dtype")
_REFUSED = {
    "slices": "layer slices",
    "modules": "modules",
    "tokenizer_source": "building a tokenizer",
    "tokenizer": "building a tokenizer",
    "chat_template": "choosing a chat template",
}
_MARKS = (*_KNOWN[:1], "slices", "modules")


def is_mergekit(data: Mapping[str, Any]) -> bool:
    """Whether a document is one of mergekit's rather than ours."""
    return "kind" not in data and any(mark in data for mark in _MARKS)


def from_mergekit(
    data: Mapping[str, Any], *, output: str, where: str = "mergekit file"
) -> MergeRecipe:
    """Read a mergekit document as a merge recipe.

    Args:
        data: the parsed YAML document.
        output: folder of the merged model; the document does not say it.
        where: what messages name.

    Raises:
        OptionError: something in it cannot be honoured; the sentence names it.
    """
    return _Reader(data, where).recipe(output)


class _Reader:
    """One document while it is read; every refusal names the file."""

    def __init__(self, data: Mapping[str, Any], where: str) -> None:
        self._data = data
        self._where = where
        self._notes: list[str] = []

    def recipe(self, output: str) -> MergeRecipe:
        self._refuse_unknown_fields()
        if not output:
            raise self._fault("does not say where the merged model goes", "Give an output folder.")
        name = self._data.get("merge_method")
        if name not in _METHODS:
            known = ", ".join(_METHODS)
            raise self._fault(f"merge_method {name!r} is not in this version (known: {known})")
        peer = _METHODS[name]
        base = self._model(self._data.get("base_model"), "base_model")
        models = self._models()
        common = self._parameters(self._data.get("parameters"), "parameters")
        setting = self._options(peer, common)
        self._check_base(peer, base, [path for path, _ in models])
        experts = tuple(self._experts(peer, base, models, common))
        if not experts:
            raise self._fault("lists no model besides the base", "List the experts under models.")
        return MergeRecipe(
            base=ModelRef(path=base) if base else None,
            experts=experts,
            setting=setting,
            out_dtype=self._out_dtype(),
            output=output,
            note=" ".join(self._notes),
        )

    def _refuse_unknown_fields(self) -> None:
        for name in self._data:
            if name in _REFUSED:
                raise self._fault(f"'{name}': {_REFUSED[name]} is not in this version")
            if name not in _KNOWN:
                raise self._fault(f"unknown field '{name}' (known: {', '.join(_KNOWN)})")

    def _models(self) -> list[tuple[str, dict[str, Any]]]:
        entries = self._data.get("models")
        if not isinstance(entries, list) or not entries:
            raise self._fault("field 'models' must be a list of models")
        found = []
        for number, entry in enumerate(entries):
            place = f"models[{number}]"
            if not isinstance(entry, Mapping) or "model" not in entry:
                raise self._fault(f"{place} has no field 'model'")
            for name in entry:
                if name not in {"model", "parameters"}:
                    raise self._fault(f"{place}: unknown field '{name}' (known: model, parameters)")
            path = self._model(entry["model"], f"{place}.model")
            found.append((path, self._parameters(entry.get("parameters"), f"{place}.parameters")))
        return found

    def _model(self, value: Any, place: str) -> str:
        if value is None:
            return ""
        if isinstance(value, Mapping):
            model = value.get("model")
            path = model.get("path") if isinstance(model, Mapping) else None
            if set(value) != {"model"} or not isinstance(model, Mapping) or set(model) != {"path"}:
                raise self._fault(
                    f"{place}: only a plain path is understood, not revisions, adapters or "
                    "architectures"
                )
            value = path
        if not isinstance(value, str) or not value:
            raise self._fault(f"{place} is {value!r}, not a path")
        if "+" in value and not Path(value).exists():
            raise self._fault(
                f"{place}: '{value}' names an adapter after '+'",
                "Write the folder of the adapter itself as the model.",
            )
        return value

    def _parameters(self, values: Any, place: str) -> dict[str, Any]:
        if values is None:
            return {}
        if not isinstance(values, Mapping):
            raise self._fault(f"{place} is {values!r}, not named values")
        for name, value in values.items():
            if isinstance(value, list):
                holds_filters = any(isinstance(part, Mapping) for part in value)
                what = "filters" if holds_filters else "a gradient"
                raise self._fault(f"{place}.{name}: {what} over layers is not in this version")
            if isinstance(value, Mapping):
                raise self._fault(f"{place}.{name}: filters are not in this version")
        return dict(values)

    def _options(self, peer: _Peer, common: Mapping[str, Any]) -> Setting:
        from deltaworks.methods import merging_method

        known = {*peer.common, *peer.each, "int8_mask"}
        self._refuse_unknown(common, known, "parameters", peer)
        if common.get("int8_mask"):
            self._notes.append("int8_mask changes no number and is not needed.")
        values = dict(self._values(peer.common, common, f"parameters of {peer.id}"))
        values = self._translated(peer, values)
        if merging_method(peer.id).is_random:
            self._notes.append("mergekit's random choices cannot be repeated; the seed makes ours.")
        return Setting(method=peer.id, options=_known_options(peer.id, values, self._fault))

    def _translated(self, peer: _Peer, values: dict[str, Any]) -> dict[str, Any]:
        """Say in our options what it says with flags."""
        if peer.id in {"dare-linear", "dare-ties"}:
            return values | {"rescale": "l1" if self._flag(values, "rescale") else "none"}
        if peer.id == "nuslerp":
            lines = "columns" if self._flag(values, "nuslerp_row_wise") else "rows"
            return {"vectors": "tensor" if self._flag(values, "nuslerp_flatten") else lines}
        return values

    def _flag(self, values: Mapping[str, Any], name: str) -> bool:
        value = values[name]
        if not isinstance(value, bool):
            raise self._fault(f"parameters.{name} is {value!r}, not true or false")
        return value

    def _experts(
        self,
        peer: _Peer,
        base: str,
        models: list[tuple[str, dict[str, Any]]],
        common: Mapping[str, Any],
    ) -> Iterator[MergeInput]:
        for number, (path, own) in enumerate(models):
            place = f"models[{number}].parameters"
            self._refuse_unknown(own, {*peer.each, "int8_mask"}, place, peer)
            if peer.takes_base and path == base:
                if own:
                    self._notes.append("Parameters of the base itself change nothing.")
                continue
            values = dict(self._values(peer.each, {**common, **own}, f"model '{path}'"))
            yield MergeInput(model=ModelRef(path=path), options=values)

    def _values(
        self, wanted: Mapping[str, Any], given: Mapping[str, Any], place: str
    ) -> Iterator[tuple[str, Any]]:
        for name, default in wanted.items():
            value = given.get(name, default)
            if value is _REQUIRED:
                raise self._fault(f"{place}: parameter '{name}' is missing")
            yield _OURS.get(name, name), value

    def _refuse_unknown(
        self, given: Mapping[str, Any], known: set[str], place: str, peer: _Peer
    ) -> None:
        for name in given:
            if name not in known:
                names = ", ".join(sorted(known))
                raise self._fault(
                    f"{place}: '{name}' is no parameter of {peer.id} (known: {names})"
                )

    def _check_base(self, peer: _Peer, base: str, paths: list[str]) -> None:
        if peer.base == "needed" and not base:
            raise self._fault(f"merge_method {peer.id} needs a base_model")
        if peer.base == "alike" and base and base not in paths:
            lack = "has no weight" if "weight" in peer.each else "is not among the models"
            raise self._fault(
                f"base_model '{base}' {lack}",
                f"{peer.id} treats every model alike: list it under models, or leave it out.",
            )
        twice = {path for path in paths if paths.count(path) > 1}
        if twice:
            raise self._fault(f"models: '{min(twice)}' is listed twice")

    def _out_dtype(self) -> str:
        dtype, out = self._data.get("dtype"), self._data.get("out_dtype")
        for name, value in (("dtype", dtype), ("out_dtype", out)):
            if value is not None and value not in _DTYPES:
                raise self._fault(f"{name} is {value!r} (known: {', '.join(_DTYPES)})")
        if dtype not in {None, "float32"}:
            self._notes.append(
                f"dtype {dtype}: computed in float32 all the same, and rounded once at the end."
            )
        chosen = out or dtype
        return _DTYPES[chosen] if chosen else ""

    def _fault(self, what: str, fix: str = "") -> OptionError:
        return OptionError(what, where=self._where, fix=fix)


def _known_options(method_id: str, values: dict[str, Any], fault: Any) -> dict[str, Any]:
    """Leave out what our method does not have where its value says nothing."""
    from deltaworks.methods import merging_method

    fields = merging_method(method_id).options.model_fields
    neutral = {"normalize": False, "scale": 1.0}
    kept = {}
    for name, value in values.items():
        if name in fields:
            kept[name] = value
        elif name not in neutral or value != neutral[name]:
            raise fault(f"parameter '{name}' is {value!r}; {method_id} has no such option")
    return kept
