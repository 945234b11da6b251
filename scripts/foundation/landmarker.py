"""The face landmarker's three nets from their .task file: a reader of TFLite's weights, and the comparison with LiteRT."""

import io
import struct
import zipfile

import numpy as np
import torch

from emolib.face.landmarker import SHAPE_INDEX, FaceNet
from emolib.face.person import PersonNet

NETS = {"detector": "face_detector", "points": "face_landmarks_detector", "shapes": "face_blendshapes"}


def constants(model: bytes) -> list[np.ndarray]:
    """The weights of a TFLite file as float32, in the order in which its operators use them; shapes, axes and paddings left out."""
    import tflite

    graph = (parsed := tflite.Model.GetRootAsModel(model, 0)).Subgraphs(0)
    kinds = {tflite.TensorType.FLOAT32: np.float32, tflite.TensorType.FLOAT16: np.float16}

    def stored(index: int) -> np.ndarray | None:
        tensor = graph.Tensors(index)
        buffer = parsed.Buffers(tensor.Buffer())
        if not buffer.DataLength() or tensor.Type() not in kinds:
            return None
        shape = tensor.ShapeAsNumpy() if tensor.ShapeLength() else ()
        return np.frombuffer(buffer.DataAsNumpy(), kinds[tensor.Type()]).astype(np.float32).reshape(shape)

    known: dict[int, np.ndarray] = {}
    found = []
    for number in range(graph.OperatorsLength()):
        operator = graph.Operators(number)
        code = parsed.OperatorCodes(operator.OpcodeIndex())
        arrays = [(i, known[i] if i in known else stored(i)) for i in operator.InputsAsNumpy() if i >= 0]
        if max(code.BuiltinCode(), code.DeprecatedBuiltinCode()) == tflite.BuiltinOperator.DEQUANTIZE:
            if arrays[0][1] is not None:
                known[operator.Outputs(0)] = arrays[0][1]
            continue
        found += [array for _, array in arrays if array is not None]
    return found


def fill(net: torch.nn.Module, arrays: list[np.ndarray]) -> None:
    """``arrays`` into the parameters of ``net``, which are declared in the order of their use. SystemExit if a shape differs."""
    # Depthwise and transposed convolutions: out of TFLite's order 1, height, width, channel.
    swapped = {
        f"{name}.weight"
        for name, m in net.named_modules()
        if isinstance(m, torch.nn.ConvTranspose2d) or (isinstance(m, torch.nn.Conv2d) and m.groups > 1)
    }
    parameters = dict(net.named_parameters())
    if len(parameters) != len(arrays):
        raise SystemExit(
            f"{type(net).__name__} has {len(parameters)} parameters, the file {len(arrays)}: another version of the nets?"
        )
    for (name, parameter), array in zip(parameters.items(), arrays):
        value = torch.from_numpy(array.copy())
        if value.ndim == 4:  # the others: out, height, width, in
            value = value.permute(3, 0, 1, 2) if name in swapped else value.permute(0, 3, 1, 2)
        if value.numel() != parameter.numel() or (value.ndim == 4 == parameter.ndim and value.shape != parameter.shape):
            raise SystemExit(f"{name}: the net expects {tuple(parameter.shape)}, the file has {tuple(value.shape)}")
        parameter.data = value.reshape(parameter.shape)


def in_order(net: FaceNet, name: str, arrays: list[np.ndarray]) -> list[np.ndarray]:
    """``arrays`` in the order of the net: that of "shapes" declares its token first, and LayerNorm's epsilon is no parameter."""
    if name != "shapes":
        return arrays
    scale, *layers = [array for array in arrays if array.ndim or array > 1e-3]
    return [scale, layers.pop(4), *layers]


def fields(message: bytes) -> list[tuple[int, object]]:
    """(number, value) of each field of a protocol buffer's message: whole numbers, floats, or bytes."""
    found: list[tuple[int, object]] = []
    at = 0

    def whole() -> int:
        nonlocal at
        value, shift = 0, 0
        while True:
            byte = message[at]
            value, shift, at = value | (byte & 127) << shift, shift + 7, at + 1
            if byte < 128:
                return value

    while at < len(message):
        key = whole()
        if key & 7 == 0:
            found.append((key >> 3, whole()))
        elif key & 7 == 5:
            found.append((key >> 3, struct.unpack("<f", message[at : at + 4])[0]))
            at += 4
        else:
            size = whole()
            found.append((key >> 3, message[at : at + size]))
            at += size
    return found


def geometry(metadata: bytes, net: FaceNet) -> None:
    """The canonical face and the points that the pose is measured by, into ``net``.

    The message: 1 the mesh (3 its vertices, x y z u v each, y up and z to the camera), 2 (each) a point and its weight.
    """
    parts = fields(metadata)
    mesh = next(value for number, value in parts if number == 1)
    vertices = np.array([value for number, value in fields(mesh) if number == 3], np.float32).reshape(-1, 5)[:, :3]
    net.canonical = torch.from_numpy(vertices * [1, -1, -1]).float()
    for number, value in parts:
        if number == 2:
            point = dict(fields(value))
            net.rigid[point.get(1, 0)] = point[2]


def convert(task: bytes) -> FaceNet:
    """The nets of a .task file."""
    net = FaceNet()
    with zipfile.ZipFile(io.BytesIO(task)) as files:
        geometry(files.read("geometry_pipeline_metadata_landmarks.binarypb"), net)
        for name, file in NETS.items():
            fill(getattr(net, name), in_order(net, name, constants(files.read(f"{file}.tflite"))))
    return net.eval().requires_grad_(False)


def person(model: bytes) -> PersonNet:
    """The net of a TFLite file of selfie segmentation."""
    net = PersonNet()
    fill(net, constants(model))
    return net.eval().requires_grad_(False)


def compare(net: FaceNet, task: bytes) -> dict[str, float]:
    """The largest difference between ``net`` and the original in LiteRT, by net: logits and boxes, points in px, shapes."""
    from ai_edge_litert.interpreter import Interpreter

    generator = torch.Generator().manual_seed(0)
    sizes = {"detector": (1, 3, 128, 128), "points": (1, 3, 256, 256)}
    worst = {}
    with zipfile.ZipFile(io.BytesIO(task)) as files:
        for name, file in NETS.items():
            run = Interpreter(model_content=files.read(f"{file}.tflite"))
            run.allocate_tensors()
            (entry,) = run.get_input_details()
            if name == "shapes":
                given = torch.rand(1, 478, 2, generator=generator) * 256
                array = given[:, list(SHAPE_INDEX)]
            else:
                given = torch.rand(sizes[name], generator=generator)
                array = given.permute(0, 2, 3, 1) * (2 if name == "detector" else 1) - (1 if name == "detector" else 0)
            run.set_tensor(entry["index"], array.numpy().copy())
            run.invoke()
            theirs = {tuple(o["shape"]): run.get_tensor(o["index"]) for o in run.get_output_details()}
            with torch.no_grad():
                if name == "detector":
                    logits, _ = net.detector(given)
                    worst[name] = np.abs(theirs[(1, 896, 1)].ravel() - logits.numpy().ravel()).max()
                elif name == "points":
                    points, _ = net.points(given)
                    worst[name] = np.abs(theirs[(1, 1, 1, 1434)].ravel() - points.numpy().ravel()).max()
                else:
                    worst[name] = np.abs(theirs[(52,)] - net.shapes(given).numpy().ravel()).max()
    return {name: float(value) for name, value in worst.items()}
