"""FaceExpressionNet of face-api.js, as TensorFlow.js stores it -> :class:`emolib.critics.onlooker.Onlooker`."""

import json

import numpy as np
import torch

from emolib.critics.onlooker import Onlooker

FOLDER = "model/"
NAME = "face_expression_model"


def convert(files: dict[str, bytes]) -> Onlooker:
    """The net of the package's files: a list of tensors, most of them in 8 bits with a scale and an offset, and their bytes in a row."""
    listed = json.loads(files[f"{FOLDER}{NAME}-weights_manifest.json"])[0]["weights"]
    data, at, tensors = files[f"{FOLDER}{NAME}.bin"], 0, []
    for entry in listed:
        count, quantised = int(np.prod(entry["shape"])), entry.get("quantization")
        kind = np.dtype(quantised["dtype"] if quantised else entry["dtype"])
        values = np.frombuffer(data, kind, count, at).astype(np.float32)
        at += count * kind.itemsize
        if quantised:
            values = values * np.float32(quantised["scale"]) + np.float32(quantised["min"])
        tensors.append(_ours(torch.from_numpy(values.reshape(entry["shape"])), entry["name"]))
    if at != len(data):
        raise SystemExit(f"{NAME}.bin has {len(data)} bytes, its list names {at}")
    net = Onlooker()
    with torch.no_grad():
        for parameter, tensor in zip(net.parameters(), tensors, strict=True):
            parameter.copy_(tensor)
    return net


def _ours(tensor: torch.Tensor, name: str) -> torch.Tensor:
    """(height, width, in, out) -> (out, in, height, width); depthwise ones are (height, width, channels, 1); linear ones (in, out)."""
    if name.endswith("depthwise_filter"):
        return tensor.permute(2, 3, 0, 1)
    return tensor.permute(3, 2, 0, 1) if tensor.ndim == 4 else tensor.T if tensor.ndim == 2 else tensor
