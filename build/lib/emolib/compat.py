"""Makes torchvision importable beside a CPU build of torch.

The torchvision wheel on the package index is linked against the CUDA build; beside a CPU torch its compiled operators do
not load and its import fails on two operator *declarations*. Declaring them is enough: nothing here ever calls them.
Call :func:`fix_torchvision` before the first import of anything that imports torchvision (open_clip, lpips, timm).
"""

import functools
import sys


@functools.cache
def fix_torchvision() -> None:
    """Declares the two missing operators, once, and only where torchvision cannot declare them itself."""
    if "torchvision" in sys.modules:
        return
    import torch

    try:
        import torchvision  # noqa: F401
    except RuntimeError:
        for name in [m for m in sys.modules if m.split(".")[0] == "torchvision"]:
            del sys.modules[name]
        torch.library.define("torchvision::nms", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        torch.library.define("torchvision::qnms", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        import torchvision  # noqa: F401
