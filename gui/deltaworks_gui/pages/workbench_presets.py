"""Presets: parameters without inputs. Ours as data, the user's own in the settings."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping

from PySide6.QtCore import QT_TRANSLATE_NOOP

from deltaworks.methods import METHODS
from deltaworks_gui.pages.workbench_state import Chosen, default_choice
from deltaworks_gui.settings import Settings

log = logging.getLogger(__name__)

BALANCED = "balanced"
TITLES: Mapping[str, str] = {
    "smallest": str(QT_TRANSLATE_NOOP("Workbench", "Smallest")),
    BALANCED: str(QT_TRANSLATE_NOOP("Workbench", "Balanced")),
    "closest": str(QT_TRANSLATE_NOOP("Workbench", "Closest")),
}
_PREFIX = "presets"

_PRESETS: Mapping[str, Mapping[str, Chosen]] = {
    "sign": {
        "smallest": Chosen({"scale": "matrix"}),
        "closest": Chosen({"scale": "group"}, {"group_size": "32, 64, 128"}),
    },
    "delta-dct": {
        "smallest": Chosen({}, {"patch": "32, 64"}),
        "closest": Chosen({"range": "mse", "rescale": "lsq"}, {"patch": "8, 16"}),
    },
    "dare": {
        "smallest": Chosen({}, {"drop_rate": "0.9, 0.95, 0.98"}),
        "closest": Chosen({}, {"drop_rate": "0.3, 0.5, 0.7"}),
    },
    "magnitude": {
        "smallest": Chosen({}, {"density": "0.01, 0.02, 0.05"}),
        "closest": Chosen({}, {"density": "0.2, 0.35, 0.5"}),
    },
    "low-rank": {
        "smallest": Chosen({}, {"bits": "0.125, 0.25, 0.5"}),
        "closest": Chosen({"solver": "exact"}, {"bits": "1, 2, 4"}),
    },
    "lossless": {"smallest": Chosen({"level": 19})},
}


def presets_of(method_id: str) -> dict[str, Chosen]:
    """Our presets of a method, in the order of the menu; every method has ``balanced``."""
    ours = {**_PRESETS.get(method_id, {}), BALANCED: default_choice(method_id)}
    return {preset: ours[preset] for preset in TITLES if preset in ours}


def preset_now(chosen: Chosen, method_id: str, own: Mapping[str, Chosen]) -> str:
    """Id or name of the preset that the form equals; empty when it is none."""
    known = {**presets_of(method_id), **own}
    return next((preset for preset, one in known.items() if one == chosen), "")


def read_presets(settings: Settings) -> dict[str, dict[str, Chosen]]:
    """The user's presets, by method and name."""
    return {method: _read(settings, method) for method in METHODS}


def write_presets(settings: Settings, method_id: str, presets: Mapping[str, Chosen]) -> None:
    """Remember the user's presets of a method."""
    data = {
        name: {"values": dict(one.values), "sweeps": dict(one.sweeps)}
        for name, one in presets.items()
    }
    settings.set(f"{_PREFIX}/{method_id}", json.dumps(data))


def _read(settings: Settings, method_id: str) -> dict[str, Chosen]:
    text = settings.text(f"{_PREFIX}/{method_id}")
    if not text:
        return {}
    try:
        data = json.loads(text)
        return {
            str(name): Chosen(dict(one["values"]), {k: str(v) for k, v in one["sweeps"].items()})
            for name, one in data.items()
        }
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        log.warning("presets of %s cannot be read: %r", method_id, error)
        return {}
