"""Imported before NumPy: a process that has threads cannot fork."""

import os

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ[name] = "1"
os.environ["JE_ARROW_MALLOC_CONF"] = "background_thread:false"  # Arrow's
