"""Emotional talking faces: one portrait + one voice + an emotion -> a video (Xu et al., CVPR 2023)."""

import os

# Read once, when torch loads its OpenMP: threads that wait must sleep. Spinning, they take the core from whoever they wait for as soon
# as anything else runs on this machine (benchmarks/threads.py). The user's own setting stands.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

__version__ = "0.1.0"
