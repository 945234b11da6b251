"""What the original nets answer, in LiteRT: ``python tests/litert.py x.task`` writes tests/litert.npz (needs the extra ``foundation``)."""

import sys
import zipfile
from pathlib import Path

import numpy as np
import skimage.data

STORED = Path(__file__).with_suffix(".npz")


def pictures() -> np.ndarray:
    """Eight pictures (8, 256, 256, 3) uint8 of one face, each unlike the others, by whole numbers only."""
    face = skimage.data.astronaut()[40:200, 144:304]

    def cut(x: int, y: int) -> np.ndarray:
        return face[y : y + 128, x : x + 128].repeat(2, 0).repeat(2, 1)

    straight = cut(16, 16)
    grey = np.repeat(straight.mean(2, dtype=int)[:, :, None], 3, 2)
    made = [
        straight,
        cut(0, 8),
        cut(28, 20),
        straight[:, ::-1],
        straight // 3,
        255 - (255 - straight) // 2,
        grey,
        np.rot90(straight),
    ]
    return np.stack(made).astype(np.uint8)


def answers(task: Path) -> dict[str, np.ndarray]:
    """What the nets of a .task file say of :func:`pictures`; the shapes are those of the points."""
    from ai_edge_litert.interpreter import Interpreter

    from emolib.face.landmarker import SHAPE_INDEX

    with zipfile.ZipFile(task) as files:
        nets = {}
        for name in ("face_detector", "face_landmarks_detector", "face_blendshapes"):
            nets[name] = Interpreter(model_content=files.read(f"{name}.tflite"))
            nets[name].allocate_tensors()

    def run(name: str, given: np.ndarray) -> dict[tuple, np.ndarray]:
        net = nets[name]
        net.set_tensor(net.get_input_details()[0]["index"], np.ascontiguousarray(given, np.float32))
        net.invoke()
        return {(tuple(o["shape"]), o["name"]): net.get_tensor(o["index"]) for o in net.get_output_details()}

    out: dict[str, list] = {"logits": [], "boxes": [], "points": [], "presence": [], "shapes": []}
    for picture in pictures() / 255.0:
        small = picture.reshape(128, 2, 128, 2, 3).mean((1, 3))
        found = run("face_detector", small[None] * 2 - 1)
        out["logits"].append(found[(1, 896, 1), "classificators"].ravel())
        out["boxes"].append(found[(1, 896, 16), "regressors"].reshape(896, 8, 2)[:64])
        found = run("face_landmarks_detector", picture[None])
        points = found[(1, 1, 1, 1434), "Identity"].reshape(478, 3)
        out["points"].append(points)
        out["presence"].append(found[(1, 1, 1, 1), "Identity_1"].ravel()[0])
        out["shapes"].append(next(iter(run("face_blendshapes", points[None, list(SHAPE_INDEX), :2]).values())))
    return {name: np.array(values, np.float32) for name, values in out.items()}


if __name__ == "__main__":
    np.savez_compressed(STORED, **answers(Path(sys.argv[1])))
