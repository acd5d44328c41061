"""Results as matplotlib Figures: no pyplot, no Qt."""

from deltaworks.figures.layers import draw_layers
from deltaworks.figures.look import DARK, LIGHT, Look, SeriesLook, use_fonts
from deltaworks.figures.numbers import bytes_text, percent_text
from deltaworks.figures.safety_layers import draw_safety_layers
from deltaworks.figures.safety_tradeoff import SafetyArtists, draw_safety_tradeoff
from deltaworks.figures.saving import save_figure
from deltaworks.figures.sizes import draw_sizes
from deltaworks.figures.tradeoff import TradeoffArtists, describe_tradeoff, draw_tradeoff

__all__ = [
    "DARK",
    "LIGHT",
    "Look",
    "SafetyArtists",
    "SeriesLook",
    "TradeoffArtists",
    "bytes_text",
    "describe_tradeoff",
    "draw_layers",
    "draw_safety_layers",
    "draw_safety_tradeoff",
    "draw_sizes",
    "draw_tradeoff",
    "percent_text",
    "save_figure",
    "use_fonts",
]
