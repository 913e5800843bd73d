"""One thread a process in all tests and what they start: two lose up to 17-fold beside a busy neighbour."""

import os

# Read when torch, numpy or numba load, so before anything imports them.
for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(name, "1")
