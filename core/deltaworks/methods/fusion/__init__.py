"""Methods that join models of several kinds into one."""

from collections.abc import Mapping

from deltaworks.methods.fusion import visionfuse
from deltaworks.methods.fusion.record import FusionMethod
from deltaworks.methods.method import index

FUSION: Mapping[str, FusionMethod] = index(visionfuse.METHOD)
