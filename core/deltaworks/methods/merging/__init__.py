"""Merging methods, one file each; variants of one method share theirs.

The table names modules, and imports one when its method is looked up: there are many.
"""

from deltaworks.methods.merging_record import MergingMethod
from deltaworks.methods.method import Table

MERGING: Table[MergingMethod] = Table(
    "deltaworks.methods.merging",
    {
        "linear": "linear.METHOD",
        "slerp": "slerp.METHOD",
        "task-arithmetic": "task_arithmetic.METHOD",
        "ties": "ties.METHOD",
        "dare-linear": "dare.LINEAR",
        "dare-ties": "dare.TIES",
        "breadcrumbs": "breadcrumbs.LINEAR",
        "breadcrumbs-ties": "breadcrumbs.TIES",
        "della": "della.TIES",
        "della-linear": "della.LINEAR",
        "sce": "sce.METHOD",
        "ram": "ram.METHOD",
        "ramplus-tl": "ram.PLUS",
        "model-stock": "model_stock.METHOD",
        "nuslerp": "nuslerp.METHOD",
        "multislerp": "multislerp.METHOD",
        "karcher": "karcher.METHOD",
        "nearswap": "nearswap.METHOD",
        "arcee-fusion": "arcee_fusion.METHOD",
        "passthrough": "passthrough.METHOD",
        "consensus-ta": "consensus.METHOD",
        "tsv-merge": "tsv_merge.METHOD",
        "iso-c": "isotropic.ISO_C",
        "iso-cts": "isotropic.ISO_CTS",
        "star": "star.METHOD",
        "cart": "cart.METHOD",
        "wudi": "wudi.METHOD",
        "doge-ta": "doge.METHOD",
        "pcb": "pcb.METHOD",
        "ties-global": "ties_global.METHOD",
        "localize-and-stitch": "stitching.METHOD",
        "magmax": "magmax.METHOD",
        "knots": "knots.METHOD",
        "core-space": "core_space.METHOD",
        "emr": "emr.METHOD",
        "tall-mask": "tall_mask.METHOD",
        "channel-merging": "channel_merging.METHOD",
        "fisher": "fisher.METHOD",
        "regmean": "regmean.REGMEAN",
        "activation-ties": "activation_ties.METHOD",
        "align": "align.METHOD",
    },
)
