"""Merging methods, one file each; variants of one method share theirs."""

from collections.abc import Mapping

from deltaworks.methods.merging import (
    arcee_fusion,
    breadcrumbs,
    consensus,
    dare,
    della,
    isotropic,
    karcher,
    linear,
    model_stock,
    multislerp,
    nearswap,
    nuslerp,
    ram,
    sce,
    slerp,
    task_arithmetic,
    ties,
    tsv_merge,
)
from deltaworks.methods.method import MergingMethod, index

MERGING: Mapping[str, MergingMethod] = index(
    linear.METHOD,
    slerp.METHOD,
    task_arithmetic.METHOD,
    ties.METHOD,
    dare.LINEAR,
    dare.TIES,
    breadcrumbs.LINEAR,
    breadcrumbs.TIES,
    della.TIES,
    della.LINEAR,
    sce.METHOD,
    ram.METHOD,
    ram.PLUS,
    model_stock.METHOD,
    nuslerp.METHOD,
    multislerp.METHOD,
    karcher.METHOD,
    nearswap.METHOD,
    arcee_fusion.METHOD,
    consensus.METHOD,
    tsv_merge.METHOD,
    isotropic.ISO_C,
    isotropic.ISO_CTS,
)
