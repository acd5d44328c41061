"""The numbers of the look: colours, type, space. Plain data, no Qt.

The only module with literal colours and sizes. ``theme`` turns them into
palettes, style sheets and icons; plots read ``series_colors`` from here.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from typing import Literal

SchemeName = Literal["light", "dark"]


@dataclass(frozen=True)
class Tokens:
    """The colours of one theme, each ``#RRGGBB``. In style sheets ``text_2`` is ``@text-2@``."""

    name: SchemeName
    bg: str
    surface: str
    raised: str
    sunken: str
    line: str
    line_strong: str
    text: str
    text_2: str
    text_3: str
    accent: str
    accent_hover: str
    on_accent: str
    soft: str
    selection: str
    hover: str
    good: str
    good_soft: str
    warn: str
    warn_soft: str
    bad: str
    bad_soft: str
    disabled: str
    shadow: str

    def color(self, token: str) -> str:
        """The value of a token by either spelling: ``text-2`` or ``text_2``."""
        value = getattr(self, token.replace("-", "_"))
        assert isinstance(value, str)
        return value

    def as_template_values(self) -> dict[str, str]:
        """Every colour under its hyphenated name."""
        return {key.replace("_", "-"): value for key, value in asdict(self).items()}

    def with_high_contrast(self) -> Tokens:
        """The same theme with every quiet colour one step louder."""
        return replace(
            self,
            line=self.line_strong,
            line_strong=self.text_2,
            text_2=self.text,
            text_3=self.text_2,
            disabled=self.text_3,
        )


LIGHT = Tokens(
    name="light",
    bg="#F5F7F9",
    surface="#FFFFFF",
    raised="#FFFFFF",
    sunken="#EDF1F4",
    line="#DBE2E8",
    line_strong="#7E8C99",  # was #8795A2: 2.85:1 on bg, now 3:1 on every ground of a control
    text="#13202B",
    text_2="#4A5A68",
    text_3="#5D6D7B",
    accent="#0B7285",
    accent_hover="#095D6D",
    on_accent="#FFFFFF",
    soft="#DFF1F4",
    selection="#D6ECF0",
    hover="#EDF1F4",
    good="#156B41",
    good_soft="#E0F3E8",
    warn="#8F5200",
    warn_soft="#FCEFD9",
    bad="#B3261E",
    bad_soft="#FBE5E3",
    disabled="#9AA6B1",
    shadow="#13202B",
)

DARK = Tokens(
    name="dark",
    bg="#0F151B",
    surface="#161E26",
    raised="#1C2630",
    sunken="#11181F",
    line="#27333F",
    line_strong="#607283",
    text="#E6ECF1",
    text_2="#A8B6C2",
    text_3="#8595A3",
    accent="#3FB6C6",
    accent_hover="#63C8D5",
    on_accent="#06222A",
    soft="#123A42",
    selection="#15404A",
    hover="#1C2630",
    good="#4FC98B",
    good_soft="#12301F",
    warn="#F0AE55",
    warn_soft="#33240D",
    bad="#FF8A80",
    bad_soft="#3A1715",
    disabled="#566472",
    shadow="#000000",
)

SCHEMES: dict[SchemeName, Tokens] = {"light": LIGHT, "dark": DARK}

_GROUNDS = ("bg", "surface", "raised", "sunken", "hover")
_CHOSEN = ("soft", "selection")

# Which text may stand on which ground; the tests hold every pair to 4.5:1.
# Hints (text-3) stay off chosen grounds: a selected row shows them as text-2.
TEXT_ON: dict[str, tuple[str, ...]] = {
    "text": (*_GROUNDS, *_CHOSEN, "good-soft", "warn-soft", "bad-soft"),
    "text-2": (*_GROUNDS, *_CHOSEN, "good-soft", "warn-soft", "bad-soft"),
    "text-3": _GROUNDS,
    "accent": (*_GROUNDS, *_CHOSEN),
    "accent-hover": (*_GROUNDS, *_CHOSEN),
    "on-accent": ("accent", "accent-hover"),
    "good": (*_GROUNDS, *_CHOSEN, "good-soft"),
    "warn": (*_GROUNDS, *_CHOSEN, "warn-soft"),
    "bad": (*_GROUNDS, *_CHOSEN, "bad-soft"),
}
# Borders and marks, held to 3:1. Plain ``line`` only separates and is not meant to be told.
MARKS_ON: dict[str, tuple[str, ...]] = {
    "line-strong": ("bg", "surface", "raised", "sunken"),
    "accent": (*_GROUNDS, *_CHOSEN),
    "good": (*_GROUNDS, *_CHOSEN),
    "warn": (*_GROUNDS, *_CHOSEN),
    "bad": (*_GROUNDS, *_CHOSEN),
}

COLOR_NAMES: tuple[str, ...] = tuple(f.name for f in fields(Tokens) if f.name != "name")


def contrast_ratio(one: str, other: str) -> float:
    """Contrast of two colours by WCAG 2: 1 for equal ones, 21 for black on white."""
    lighter, darker = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(color: str) -> float:
    channels = (int(color[i : i + 2], 16) / 255 for i in (1, 3, 5))
    red, green, blue = (
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


# --- Type -----------------------------------------------------------------------------------

UI_FAMILY = "Inter"
MONO_FAMILY = "JetBrains Mono"
UI_FEATURES: dict[str, int] = {"cv11": 1}  # single-storey a, as in the product's pictures


@dataclass(frozen=True)
class TypeStyle:
    """One step of the type scale: size in px at 100 %, and weight."""

    size: float
    weight: int
    family: str = UI_FAMILY


TYPE: dict[str, TypeStyle] = {
    "caption": TypeStyle(11.5, 600),
    "badge": TypeStyle(11, 400),
    "small": TypeStyle(11.5, 400),
    "secondary": TypeStyle(12, 400),
    "base": TypeStyle(13, 400),
    "strong": TypeStyle(13, 600),
    "lead": TypeStyle(15, 400),
    "subtitle": TypeStyle(15, 600),
    "title": TypeStyle(18, 700),
    "empty-title": TypeStyle(24, 700),
    "mono": TypeStyle(12, 400, MONO_FAMILY),
}

# --- Space ----------------------------------------------------------------------------------

SPACE_XS, SPACE_S, SPACE_M, SPACE_L, SPACE_XL, SPACE_XXL, SPACE_XXXL = 4, 8, 12, 16, 20, 24, 32
LINE = 1
RADIUS = 6
RADIUS_CARD = 10
FOCUS_WIDTH = 2
FOCUS_GAP = 2
FADE_MS = 120
SPIN_MS = 900


@dataclass(frozen=True)
class Metrics:
    """Heights and widths in px; they grow with the user's text size."""

    header: int = 56
    nav: int = 88
    nav_row: int = 64
    table_header: int = 30
    row: int = 34
    control: int = 32
    control_large: int = 38
    status: int = 28
    menu_bar: int = 28
    banner: int = 40
    badge: int = 18
    icon: int = 16
    icon_small: int = 14
    icon_nav: int = 20
    indicator: int = 16
    chevron: int = 12
    step: int = 10
    lane_dot: int = 7
    progress: int = 6
    progress_thin: int = 4
    scroll: int = 12
    search: int = 300
    illustration: int = 96

    def scaled(self, factor: float) -> Metrics:
        """The same for text ``factor`` times as large."""
        grown = {f.name: round(getattr(self, f.name) * factor) for f in fields(self)}
        return Metrics(**grown)


# --- Plots ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Series:
    """How one series is drawn: a colour, a shape, an edge where the colour is too pale.

    ``marker`` is the code that matplotlib uses.
    """

    color: str
    edge: str
    marker: str
    shape: str


_SHAPES = (
    ("o", "circle"),
    ("s", "square"),
    ("^", "triangle"),
    ("D", "diamond"),
    ("P", "plus"),
    ("v", "down-triangle"),
    ("p", "pentagon"),
    ("h", "hexagon"),
)
# colour, edge on the light ground (its own colour where that is dark enough), colour on the dark
_SERIES = (
    ("#0072B2", "#0072B2", "#4BA3DC"),
    ("#E69F00", "#946600", "#E69F00"),
    ("#009E73", "#009E73", "#009E73"),
    ("#CC79A7", "#96466F", "#CC79A7"),
    ("#56B4E9", "#1F6F9F", "#56B4E9"),
    ("#D55E00", "#D55E00", "#D55E00"),
    ("#F0E442", "#7F7700", "#F0E442"),
    (LIGHT.text_2, LIGHT.text_2, DARK.text_2),
)


def series_colors(scheme: SchemeName) -> tuple[Series, ...]:
    """The eight series of a plot in order, safe for colour-blind readers."""
    return tuple(
        Series(dark, dark, *shape) if scheme == "dark" else Series(color, edge, *shape)
        for (color, edge, dark), shape in zip(_SERIES, _SHAPES, strict=True)
    )
