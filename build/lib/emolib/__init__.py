"""Emotional talking faces: one portrait + one voice + an emotion -> a video (Xu et al., CVPR 2023)."""

__version__ = "0.1.0"
