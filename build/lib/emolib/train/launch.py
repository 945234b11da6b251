"""One process of several that train together: ``torchrun -m emolib.train.launch JOB ANSWER``, see :func:`emolib.train.loop.train`."""

import json
import pickle
import sys
from pathlib import Path

import torch
import torch.distributed as dist

from emolib.files import write_atomic
from emolib.train.loop import train_here
from emolib.train.parallel import rank


def main(job: str, answer: str) -> None:
    training, weights, checkpoints, mark, device, options = pickle.loads(Path(job).read_bytes())
    gpus = device != "cpu" and torch.cuda.is_available()
    dist.init_process_group("nccl" if gpus else "gloo")
    if gpus:
        torch.cuda.set_device(rank() % torch.cuda.device_count())
    try:
        steps = train_here(training, weights, checkpoints, mark, device, **options)
        if rank() == 0:
            write_atomic(answer, json.dumps(steps))
    finally:
        dist.destroy_process_group()


if __name__ == "__main__":
    main(*sys.argv[1:])
