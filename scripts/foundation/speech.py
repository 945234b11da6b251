"""Whisper's encoder from a CTranslate2 model, Silero's detector from its ONNX file, Kokoro's voices from their tables."""

import io
import struct

import numpy as np
import onnx
import torch
from onnx import numpy_helper

from emolib.speech.voiced import VoiceNet
from emolib.speech.whisper import POSITIONS, WhisperEncoder

_TYPES = (np.float32, np.int8, np.int16, np.int32, np.float16)
_LAYER = {
    "attention_norm": "self_attention/layer_norm", "qkv": "self_attention/linear_0", "out": "self_attention/linear_1",
    "ffn_norm": "ffn/layer_norm", "widen": "ffn/linear_0", "narrow": "ffn/linear_1",
}  # fmt: skip
LENGTHS = (
    2,
    5,
    10,
    15,
    20,
    30,
    40,
    50,
    60,
    80,
    100,
    130,
    160,
    200,
    300,
    500,
)  # signs, of the 510 that a voice's table has


def variables(model: bytes) -> dict[str, np.ndarray]:
    """The arrays of a CTranslate2 ``model.bin`` by name (its versions 4 to 6)."""
    at = 0

    def take(kind: str) -> int:
        nonlocal at
        (value,) = struct.unpack_from("<" + kind, model, at)
        at += struct.calcsize("<" + kind)
        return value

    def text() -> str:
        nonlocal at
        size = take("H")
        at += size
        return model[at - size : at].rstrip(b"\0").decode()

    take("I"), text(), take("I")  # version of the format, name and version of the architecture
    found = {}
    for _ in range(take("I")):
        name = text()
        shape = [take("I") for _ in range(take("B"))]
        kind, size = _TYPES[take("B")], take("I")
        found[name] = np.frombuffer(model, kind, size // np.dtype(kind).itemsize, at).reshape(shape)
        at += size
    return found


def whisper(model: bytes) -> WhisperEncoder:
    """The encoder of a CTranslate2 Whisper, its first POSITIONS places."""
    arrays = variables(model)

    def array(name: str) -> torch.Tensor:
        return torch.from_numpy(np.array(arrays[f"encoder/{name}"])).float()

    dim, layers = (
        arrays["encoder/conv1/bias"].size,
        sum("ffn/linear_0/bias" in n and n.startswith("encoder") for n in arrays),
    )
    net = WhisperEncoder(dim, int(arrays["encoder/num_heads"]), layers)
    state = {f"{conv}.{kind}": array(f"{conv}/{kind}") for conv in ("conv1", "conv2") for kind in ("weight", "bias")}
    state["positions"] = array("position_encodings/encodings")[:POSITIONS]
    for k in range(layers):
        for ours, theirs in _LAYER.items():
            kinds = ("gamma", "beta") if "norm" in ours else ("weight", "bias")
            for kind, name in zip(("weight", "bias"), kinds):
                state[f"layers.{k}.{ours}.{kind}"] = array(f"layer_{k}/{theirs}/{name}")
    net.load_state_dict(state)
    return net


def voiced(model: bytes) -> VoiceNet:
    """Silero's detector for 16 kHz, from its ONNX file."""
    theirs = {a.name: numpy_helper.to_array(a) for a in onnx.load_from_string(model).graph.initializer}
    names = {
        "stft.weight": "stft.forward_basis_buffer",
        "out.weight": "decoder.decoder.2.weight",
        "out.bias": "decoder.decoder.2.bias",
    }
    for k in range(4):
        names |= {f"convs.{2 * k}.{kind}": f"encoder.{k}.reparam_conv.{kind}" for kind in ("weight", "bias")}
    names |= {f"lstm.{n}_l0": f"decoder.rnn.{n}" for n in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")}
    net = VoiceNet()
    shapes = {name: value.shape for name, value in net.state_dict().items()}
    net.load_state_dict(
        {ours: torch.from_numpy(theirs[f"model.{name}"].copy()).reshape(shapes[ours]) for ours, name in names.items()}
    )
    return net


def voices(files: dict[str, bytes], names: tuple[str, ...]) -> bytes:
    """The npz of :data:`synthface.natural.TABLE`: ``lengths`` (16,), and each voice (16, 256) float16."""
    table: dict[str, np.ndarray] = {"lengths": np.array(LENGTHS, np.float32)}
    for name in names:
        table[name] = (
            np.frombuffer(files[f"voices/{name}.bin"], np.float32).reshape(-1, 256)[list(LENGTHS)].astype(np.float16)
        )
    content = io.BytesIO()
    np.savez_compressed(content, **table)  # type: ignore[arg-type]
    return content.getvalue()
