"""mergekit files in: all of its YAML, as a recipe of ours that says the same.

What mergekit ignores is named in the recipe's note; what cannot be honoured is refused by
name. Source: the file format as described in the merging specification, 3.5.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from deltaworks.errors import OptionError
from deltaworks.recipes.mergekit_methods import (
    DTYPES,
    NO_EFFECT,
    PEERS,
    REQUIRED,
    Peer,
    translated,
)
from deltaworks.recipes.mergekit_models import model_reference
from deltaworks.recipes.mergekit_tokens import tokenizer_rule
from deltaworks.recipes.patterns import check_value, followed_by
from deltaworks.recipes.resolving import BASE
from deltaworks.recipes.schema import (
    MergeInput,
    MergeModule,
    MergeRecipe,
    MergeSlice,
    ModelRef,
    Setting,
    SliceSource,
)

_PARTS = ("models", "slices", "modules")
_KNOWN = (
    "merge_method",
    "base_model",
    *_PARTS,
    "parameters",
    "dtype",
    "out_dtype",
    "tokenizer_source",
    "tokenizer",
    "chat_template",
    "name",
)
_MARKS = ("merge_method", "slices", "modules")


def is_mergekit(data: Mapping[str, Any]) -> bool:
    """Whether a document is one of mergekit's rather than ours."""
    return "kind" not in data and any(mark in data for mark in _MARKS)


def from_mergekit(
    data: Mapping[str, Any], *, output: str, where: str = "mergekit file"
) -> MergeRecipe:
    """Read a mergekit document as a merge recipe with mergekit's numerics.

    Args:
        data: the parsed YAML document.
        output: folder of the merged model; the document does not say it.
        where: what messages name.

    Raises:
        OptionError: something in it cannot be honoured; the sentence names it.
    """
    if not output:
        raise OptionError(
            "does not say where the merged model goes", where=where, fix="Give an output folder."
        )
    return _Reader(data, where).recipe(output)


class _Reader:
    """One document while it is read; every refusal names the file."""

    def __init__(self, data: Mapping[str, Any], where: str) -> None:
        self._data, self._where = data, where
        self._notes: dict[str, None] = {}
        self._check_fields(data, _KNOWN, "")
        name = data.get("merge_method")
        if name not in PEERS:
            known = ", ".join(PEERS)
            raise self._fault(f"merge_method {name!r} is not known (known: {known})")
        self._peer: Peer = PEERS[name]
        base = data.get("base_model")
        self._base = None if base is None else self._model(base, "base_model")
        self._experts: list[ModelRef] = []

    def recipe(self, output: str) -> MergeRecipe:
        """Give the recipe."""
        if self._peer.base == "needed" and self._base is None:
            raise self._fault(f"merge_method {self._peer.id} needs a base_model")
        given = [part for part in _PARTS if self._data.get(part)]
        if len(given) != 1:
            what = (
                f"has {' and '.join(given)}" if given else "field 'models' must be a list of models"
            )
            raise self._fault(what, "Write exactly one of models, slices, modules.")
        common = self._options(self._data.get("parameters"), "parameters")
        shape: dict[str, Any] = {}
        each: Sequence[dict[str, Any]] = ()
        if given == ["models"]:
            each = self._folded(common)
            common = {name: value for name, value in common.items() if name in self._common_names}
        elif given == ["slices"]:
            shape["slices"] = tuple(self._slices(self._data["slices"], "slices"))
        else:
            shape["modules"] = tuple(self._modules(self._data["modules"]))
        n_merged = len(self._experts)
        rule = tokenizer_rule(self._data, self._place_of_any, self._where)
        if n_merged < len(self._experts) and not shape:  # models that only lend their tokens
            sources = tuple(SliceSource(model=number) for number in range(n_merged))
            shape["slices"] = (MergeSlice(sources=sources),)
        if not n_merged:
            raise self._fault("lists no model besides the base", "List the experts under models.")
        options = self._with_defaults(common, only_common=bool(each))
        own = [*each, *({} for _ in self._experts)]
        return MergeRecipe(
            base=self._base,
            experts=tuple(
                MergeInput(model=model, options=values)
                for model, values in zip(self._experts, own, strict=False)
            ),
            setting=Setting(method=self._peer.id, options=options),
            tokenizer=rule,
            vocabulary="align" if rule else "refuse",
            chat_template=self._chat_template(),
            numerics="mergekit-0.1.5",
            dtype=self._dtype("dtype"),
            out_dtype=self._dtype("out_dtype") or self._dtype("dtype"),
            output=output,
            note=" ".join(self._said()),
            **shape,
        )

    # --- models, slices, modules ------------------------------------------------------------

    def _folded(self, common: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Read ``models``; every expert gets what holds for all, so that it stands alone."""
        listed = self._listed(self._data["models"], "models", ("model", "parameters"))
        found = []
        for entry, place in listed:
            model = self._model(entry["model"], f"{place}.model")
            own = self._options(entry.get("parameters"), f"{place}.parameters", each=True)
            if self._is_base(model):
                self._ignore_of_base(own)
                continue
            if model in self._experts:
                raise self._fault(f"models: '{_text(model)}' is listed twice")
            self._experts.append(model)
            found.append(own)
        if self._base and not self._peer.takes_base and self._base not in self._experts:
            if self._peer.id == "passthrough":
                self._note("base_model only lends its config and tokenizer.")
            else:
                self._experts.append(self._base)
                found.append({})
        each = [self._each(own, common) for own in found]
        self._check_required(each, common)
        return each

    def _each(self, own: Mapping[str, Any], common: Mapping[str, Any]) -> dict[str, Any]:
        """Let an expert's values go on to those for all, and those to the defaults."""
        values = {}
        for name in self._each_names:
            chain = [scope[name] for scope in (own, common, self._defaults) if name in scope]
            if chain:
                values[name] = followed_by(chain)
        return values

    def _check_required(self, each: Sequence[Mapping[str, Any]], common: Mapping[str, Any]) -> None:
        for name in self._peer.required:
            if name in self._common_names:
                if name not in common:
                    raise self._fault(f"parameters of {self._peer.id}: '{name}' is missing")
                continue
            for model, values in zip(self._experts, each, strict=True):
                if name not in values:
                    is_base = "base_model" if model == self._base else "model"
                    raise self._fault(f"{is_base} '{_text(model)}': parameter '{name}' is missing")

    def _slices(self, data: Any, place: str) -> Iterator[MergeSlice]:
        known = ("sources", "base_model", "residual_weight", "parameters")
        for entry, at in self._listed(data, place, known, needed="sources"):
            if entry.get("residual_weight") is not None:
                self._note("residual_weight changes nothing, in mergekit neither.")
            base = entry.get("base_model")
            base_place = None
            if base is not None:
                base_place = self._place(self._model(base, f"{at}.base_model"))
            sources = tuple(self._sources(entry["sources"], f"{at}.sources"))
            lead = BASE if base_place is None else base_place
            if self._peer.base == "needed" and lead not in {one.model for one in sources}:
                self._note(f"{at} does not list the base, which mergekit refuses; it takes part.")
            options = self._options(entry.get("parameters"), f"{at}.parameters")
            yield MergeSlice(sources=sources, base=base_place, options=options)

    def _sources(self, data: Any, place: str) -> Iterator[SliceSource]:
        for entry, at in self._listed(data, place, ("model", "layer_range", "parameters")):
            layers = entry.get("layer_range")
            if (
                not isinstance(layers, list)
                or len(layers) != 2
                or not all(isinstance(one, int) for one in layers)
            ):
                raise self._fault(f"{at}.layer_range is {layers!r}, not two whole numbers")
            model = self._model(entry["model"], f"{at}.model")
            own = self._options(entry.get("parameters"), f"{at}.parameters", each=True)
            yield SliceSource(model=self._place(model), layers=(layers[0], layers[1]), options=own)

    def _modules(self, data: Any) -> Iterator[MergeModule]:
        if not isinstance(data, Mapping):
            raise self._fault(f"modules is {data!r}, not named modules")
        for name, entry in data.items():
            at = f"modules.{name}"
            if not isinstance(entry, Mapping):
                raise self._fault(f"{at} is {entry!r}, not named fields")
            self._check_fields(entry, ("models", "slices", "parameters"), f"{at}: ")
            if bool(entry.get("models")) == bool(entry.get("slices")):
                raise self._fault(f"{at} needs either models or slices")
            options = self._options(entry.get("parameters"), f"{at}.parameters")
            slices: tuple[MergeSlice, ...]
            if entry.get("slices"):
                slices = tuple(self._slices(entry["slices"], f"{at}.slices"))
            else:
                slices = (self._module_models(entry["models"], f"{at}.models"),)
            yield MergeModule(name=str(name), slices=slices, options=options)

    def _module_models(self, data: Any, place: str) -> MergeSlice:
        sources = []
        for entry, at in self._listed(data, place, ("model", "parameters")):
            model = self._model(entry["model"], f"{at}.model")
            own = self._options(entry.get("parameters"), f"{at}.parameters", each=True)
            sources.append(SliceSource(model=self._place(model), options=own))
        return MergeSlice(sources=tuple(sources))

    def _listed(
        self, data: Any, place: str, known: tuple[str, ...], needed: str = "model"
    ) -> Iterator[tuple[Mapping[str, Any], str]]:
        if not isinstance(data, list) or not data:
            raise self._fault(f"field '{place}' must be a list of {needed}s".replace("ss", "s"))
        for number, entry in enumerate(data):
            at = f"{place}[{number}]"
            if not isinstance(entry, Mapping) or needed not in entry:
                raise self._fault(f"{at} has no field '{needed}'")
            self._check_fields(entry, known, f"{at}: ")
            yield entry, at

    def _is_base(self, model: ModelRef) -> bool:
        return self._peer.takes_base and model == self._base

    def _place(self, model: ModelRef) -> int:
        """Give a model's place among those that are merged."""
        if self._is_base(model):
            return BASE
        if model not in self._experts:
            self._experts.append(model)
        return self._experts.index(model)

    def _place_of_any(self, value: Any, place: str) -> int:
        """Give the place of a model that lends tokens."""
        model = self._model(value, place)
        return BASE if model == self._base else self._place(model)

    # --- parameters -------------------------------------------------------------------------

    @property
    def _common_names(self) -> frozenset[str]:
        return frozenset(translated(self._peer, _fill(self._peer.common)))

    @property
    def _each_names(self) -> tuple[str, ...]:
        return tuple(self._peer.each)

    @property
    def _defaults(self) -> dict[str, Any]:
        both = {**self._peer.common, **self._peer.each}
        given = {name: value for name, value in both.items() if value is not REQUIRED}
        return self._only_ours(translated(self._peer, given))

    def _with_defaults(self, options: Mapping[str, Any], *, only_common: bool) -> dict[str, Any]:
        names = self._common_names if only_common else {*self._common_names, *self._each_names}
        found = {}
        for name in [*self._defaults, *options]:
            chain = [scope[name] for scope in (options, self._defaults) if name in scope]
            if name in names:
                found[name] = followed_by(chain)
        return found

    def _options(self, values: Any, place: str, *, each: bool = False) -> dict[str, Any]:
        """Read the parameters of one scope as options of ours."""
        if values is None:
            return {}
        if not isinstance(values, Mapping):
            raise self._fault(f"{place} is {values!r}, not named values")
        known = self._peer.each if each else {**self._peer.common, **self._peer.each}
        kept = {}
        for name, value in values.items():
            if name in NO_EFFECT:
                if value:
                    self._note(f"{name} changes no number and is not needed.")
            elif name not in known:
                self._note(f"{place}: '{name}' is no parameter of {self._peer.id} there.")
            else:
                self._check_value(value, f"{place}.{name}")
                kept[name] = value
        try:
            return self._only_ours(translated(self._peer, kept))
        except ValueError as error:
            names = ", ".join(kept)
            raise self._fault(f"{place} ({names}): {error}") from error

    def _check_value(self, value: Any, place: str) -> None:
        try:
            check_value(value, place)
        except OptionError as error:
            raise self._fault(f"{place} {error.what}", error.fix) from error

    def _only_ours(self, values: dict[str, Any]) -> dict[str, Any]:
        """Leave out what our method does not have where its value says nothing."""
        from deltaworks.methods import merging_method

        method = merging_method(self._peer.id)
        fields = {*method.options.model_fields, *method.expert_options.model_fields}
        neutral = {"normalize": False, "scale": 1.0, "eps": 1e-8, "rescale": False}
        kept = {}
        for name, value in values.items():
            if name in fields:
                kept[name] = value
            elif name not in neutral or value != neutral[name]:
                raise self._fault(
                    f"parameter '{name}' is {value!r}; {self._peer.id} has no such option"
                )
        return kept

    def _ignore_of_base(self, own: Mapping[str, Any]) -> None:
        if own:
            self._note("Parameters of the base itself change nothing.")

    # --- the rest ---------------------------------------------------------------------------

    def _check_fields(self, data: Mapping[str, Any], known: Sequence[str], place: str) -> None:
        for name in data:
            if name not in known:
                listed = ", ".join(known)
                raise self._fault(f"{place}unknown field '{name}' (known: {listed})")

    def _model(self, value: Any, place: str) -> ModelRef:
        return model_reference(value, place, self._where)

    def _dtype(self, name: str) -> str:
        value = self._data.get(name)
        if value is not None and value not in DTYPES:
            raise self._fault(f"{name} is {value!r} (known: {', '.join(DTYPES)})")
        return DTYPES[value] if value else ""

    def _chat_template(self) -> str:
        value = self._data.get("chat_template")
        if value is not None and not isinstance(value, str):
            raise self._fault(f"chat_template is {value!r}, not text")
        return value or ""

    def _said(self) -> Iterator[str]:
        from deltaworks.methods import merging_method

        yield from self._notes
        if merging_method(self._peer.id).is_random:
            yield "mergekit's random choices cannot be repeated; the seed makes ours."

    def _note(self, text: str) -> None:
        self._notes[text] = None

    def _fault(self, what: str, fix: str = "") -> OptionError:
        return OptionError(what, where=self._where, fix=fix)


def _fill(values: Mapping[str, Any]) -> dict[str, Any]:
    """Put something in place of defaults that are missing."""
    return {name: 0.0 if value is REQUIRED else value for name, value in values.items()}


def _text(model: ModelRef) -> str:
    return f"{model.path}+{model.adapter}" if model.adapter else model.path
