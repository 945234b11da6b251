"""Compiled loops over a batch of images on the CPU, shared out to threads: what :mod:`vertex_kernels` and :mod:`pixel_kernels` stand on.

Plain threads, not numba's: its OpenMP pool aborts a process that forks, as data loaders do. Every kernel's first argument is its
share, (part, first image, last image, first row, last row), ends excluded: whole images, or bands of rows where images are few; a
gradient that bands of one image add up to has a leading axis of parts.
"""

import functools
import os
from concurrent.futures import ThreadPoolExecutor

import torch

_pool = functools.cache(ThreadPoolExecutor)  # by its number of threads
os.register_at_fork(after_in_child=_pool.cache_clear)  # a forked child has the object but not its threads


def parts_of(batch: int, rows: int) -> int:
    """How many bands each image is cut into: 1 where there are images enough for all threads."""
    return max(1, min(torch.get_num_threads() // max(batch, 1), rows))


def share_out(kernel, rows: int, *tensors: torch.Tensor, batch: int) -> None:
    """kernel(share, *arrays) for all images; rows = 1 for kernels that cannot cut an image. This thread does the last share."""
    arrays = [tensor.detach().contiguous().numpy() for tensor in tensors]
    parts, threads = parts_of(batch, rows), max(1, min(torch.get_num_threads(), batch))
    images = [batch * i // threads for i in range(threads + 1)]
    bands = [rows * i // parts for i in range(parts + 1)]
    shares = [
        (p, first, last, top, bottom)
        for first, last in zip(images, images[1:])
        for p, (top, bottom) in enumerate(zip(bands, bands[1:]))
    ]
    waiting = [_pool(len(shares) - 1).submit(kernel, share, *arrays) for share in shares[:-1]]
    kernel(shares[-1], *arrays)
    for future in waiting:
        future.result()


def by_part(like: torch.Tensor, rows: int) -> torch.Tensor:
    """Room for the gradient of ``like`` from each band of rows: (parts, *like.shape)."""
    return like.new_empty(parts_of(len(like), rows), *like.shape)
