"""Singular value decompositions: the one place that all methods ask.

``thin_svd`` gives every triple, ``top_svd`` the largest ones the cheapest way that is good
enough, ``batched_svd`` those of many matrices at once, ``sketched_svd`` the largest ones by
iteration in any case, ``reference_svd`` what LAPACK says.
Accuracy that is promised, and checked while computing:

- Gram matrix of the smaller side in float64, and its eigenvectors (``gram``): singular values
  down to 1e-6 of the largest, vectors orthonormal to 1e-4; else the reference is used.
- Subspace iteration (``sketch``): the error left by the triples is at most about half a percent
  above the least possible one; else the Gram matrix is used.
"""

from deltaworks.numerics.low_rank.batched import batched_svd
from deltaworks.numerics.low_rank.choice import prefers_sketch, sketched_svd, thin_svd, top_svd
from deltaworks.numerics.low_rank.record import Svd
from deltaworks.numerics.low_rank.reference import reference_svd

__all__ = [
    "Svd",
    "batched_svd",
    "prefers_sketch",
    "reference_svd",
    "sketched_svd",
    "thin_svd",
    "top_svd",
]
