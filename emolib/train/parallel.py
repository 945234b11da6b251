"""One batch shared out to several processes: each does its part, and every loss is that of the whole batch.

Every process draws the same global batch (randomness comes from seed and step alone), takes its own rows (:func:`share`) and works on them.
What a loss needs of all rows is put together with :func:`gather`, through which gradients flow; a loss is then computed from
gathered values by every process alike, and the mean of the processes' gradients (:func:`average_gradients`) is the gradient of one
process that does it all. A single process shares with nobody: all functions here then give back what they got.
"""

from collections.abc import Iterable

import torch
import torch.distributed as dist
from torch import Tensor, nn


def world() -> int:
    """How many processes train together."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    return dist.get_rank() if world() > 1 else 0


def mixed(precision: str, device: str) -> str:
    """``precision``: no, bf16 or fp16; for auto what ``device`` is fast in: a GPU without bf16 (V100) takes fp16, a CPU none."""
    if precision != "auto":
        return precision
    if device == "cpu" or not torch.cuda.is_available():
        return "no"
    return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"


def rows(count: int) -> slice:
    """This process's rows of ``count``. Raises ValueError unless they are as many for every process."""
    if count % world():
        raise ValueError(
            f"a batch of {count} cannot be shared by {world()} processes; expected a multiple of {world()}"
        )
    part = count // world()
    return slice(part * rank(), part * (rank() + 1))


def share(*tensors):
    """This process's rows of each of ``tensors`` (anything that slices); one is given back as it is, not as a tuple."""
    if world() == 1:
        return tensors if len(tensors) > 1 else tensors[0]
    parts = tuple(x[rows(len(x))] for x in tensors)
    return parts if len(parts) > 1 else parts[0]


class _Gather(torch.autograd.Function):
    """Own rows -> everybody's. Its transpose is :class:`_Take`, so both can be differentiated as often as need be."""

    @staticmethod
    def forward(own: Tensor) -> Tensor:
        parts = [torch.empty_like(own) for _ in range(world())]
        dist.all_gather(parts, own.contiguous())
        return torch.cat(parts)

    @staticmethod
    def setup_context(context, inputs, output) -> None:
        pass

    @staticmethod
    def backward(context, gradient: Tensor) -> Tensor:
        return _Take.apply(gradient)


class _Take(torch.autograd.Function):
    """Everybody's rows, summed over the processes -> own rows."""

    @staticmethod
    def forward(everybody: Tensor) -> Tensor:
        total = everybody.contiguous().clone()
        dist.all_reduce(total)
        return total[rows(len(total))]

    @staticmethod
    def setup_context(context, inputs, output) -> None:
        pass

    @staticmethod
    def backward(context, gradient: Tensor) -> Tensor:
        return _Gather.apply(gradient)


def gather(own: Tensor) -> Tensor:
    """Own rows (b, ...) -> the rows of all processes (B, ...), in their order; differentiable."""
    return own if world() == 1 else _Gather.apply(own)


def average_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Replaces every gradient by its mean over the processes; parameters without one (the same everywhere) stay without."""
    gradients = [p.grad for p in parameters if p.grad is not None]
    if world() == 1 or not gradients:
        return
    flat = torch.cat([g.flatten() for g in gradients])
    dist.all_reduce(flat)
    flat /= world()
    for gradient, part in zip(gradients, flat.split([g.numel() for g in gradients])):
        gradient.copy_(part.view_as(gradient))


class _SharedBatchNorm(nn.BatchNorm2d):
    """BatchNorm whose statistics are those of the whole batch (torch's own needs GPUs)."""

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return super().forward(x)
        moments = torch.stack([x.float().mean((0, 2, 3)), x.float().square().mean((0, 2, 3))])[None]
        mean, power = gather(moments).mean(0)
        variance = (power - mean.square()).clamp(min=0)
        count = x.numel() / x.shape[1] * world()
        with torch.no_grad():
            for running, now in ((self.running_mean, mean), (self.running_var, variance * count / (count - 1))):
                if running is not None:
                    running.lerp_(now, self.momentum or 0.0)
            if self.num_batches_tracked is not None:
                self.num_batches_tracked.add_(1)
        scale = (variance + self.eps).rsqrt() * self.weight
        return x * scale[:, None, None] + (self.bias - mean * scale)[:, None, None]


def share_statistics(model: nn.Module) -> nn.Module:
    """``model`` with every BatchNorm2d in it looking at the whole batch; nothing changes in a single process."""
    if world() > 1:
        for module in model.modules():
            if type(module) is nn.BatchNorm2d:
                module.__class__ = _SharedBatchNorm
    return model
