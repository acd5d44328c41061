"""mergekit files in: the part of its YAML that this version can honour in full.

Anything else is refused by name; nothing is ignored. Source: the file format as
described in the merging specification, 3.5.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from deltaworks.errors import OptionError
from deltaworks.recipes.schema import MergeInput, MergeRecipe, ModelRef, Setting

_REQUIRED = object()


@dataclass(frozen=True, slots=True)
class _Peer:
    """One of its methods: our id, and its parameters with its own defaults."""

    id: str
    takes_base: bool
    common: Mapping[str, Any] = field(default_factory=dict)
    each: Mapping[str, Any] = field(default_factory=dict)


_WEIGHT = {"weight": _REQUIRED}
_METHODS = {
    "linear": _Peer("linear", False, {"normalize": True}, _WEIGHT),
    "task_arithmetic": _Peer("task-arithmetic", True, {"normalize": False, "lambda": 1.0}, _WEIGHT),
    "ties": _Peer("ties", True, {"normalize": True, "lambda": 1.0}, _WEIGHT | {"density": 1.0}),
    "slerp": _Peer("slerp", True, {"t": _REQUIRED}),
}
_OURS = {"lambda": "scale"}
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
        known = {*peer.common, *peer.each, "int8_mask"}
        self._refuse_unknown(common, known, "parameters", peer)
        if common.get("int8_mask"):
            self._notes.append("int8_mask changes no number and is not needed.")
        values = dict(self._values(peer.common, common, f"parameters of {peer.id}"))
        return Setting(method=peer.id, options=_known_options(peer.id, values, self._fault))

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
        if peer.takes_base and not base:
            raise self._fault(f"merge_method {peer.id} needs a base_model")
        if not peer.takes_base and base and base not in paths:
            raise self._fault(
                f"base_model '{base}' has no weight",
                f"{peer.id} averages every model: list it under models, or leave it out.",
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
