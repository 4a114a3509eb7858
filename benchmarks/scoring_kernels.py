"""The loop of `benchmarks.scoring`, compiled by numba on first use: import this module only where trials are scored.

Nothing is checked here: callers do that.
"""

import numpy as np
from numpy.typing import NDArray

from curate.kernels import ANY_ORDER, compiled
from curate.similarity import Vectors

Places = NDArray[np.int32]


@compiled(fastmath=ANY_ORDER)
def _dot(one: Vectors, other: Vectors) -> np.float32:
    """In float32: twice as fast as in float64, and a cosine is wrong by 1e-7."""
    product = np.float32(0.0)
    for d in range(len(one)):
        product += one[d] * other[d]
    return product


@compiled()
def products(enrolled: Vectors, tested: Vectors, enrol: Places, test: Places, found: Vectors) -> None:
    """Fill `found` (T,) with the products of rows `enrol[t]` and `test[t]`, which nobody copies out before."""
    for t in range(len(enrol)):
        found[t] = _dot(enrolled[enrol[t]], tested[test[t]])
