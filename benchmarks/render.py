"""How fast the renderer is: ms an image, forward and forward + backward, by size and backend, and ratios to ours.

    python benchmarks/render.py            a table
    python benchmarks/render.py --json     one JSON object

"raster" rasterises, shades and interpolates a colour; "render" is the whole R(theta), with Eq. 1 in front. The
backends take turns, so that what else runs on the machine weighs on all alike; PyTorch3D takes part where it is installed.
On the CPU --slow 0 leaves out all but ours: they take seconds an image.
"""

import argparse
import importlib.util
import json
import time

import torch

from emolib.face.camera import project
from emolib.face.loaders import load_face_model
from emolib.face.model import Coefficients, FaceModel
from emolib.face.render import interpolate, rasterize, render


def faces(batch: int, device: str) -> Coefficients:
    """Seeded faces with a little of everything."""
    generator = torch.Generator().manual_seed(0)
    vector = torch.randn(batch, 257, generator=generator)
    vector[:, 224:251] *= 0.05
    vector[:, 251:] *= 0.1
    return Coefficients.from_vector(vector).to(device)


def work(model: FaceModel, backend: str, size: int, batch: int, device: str) -> dict:
    """name -> what is timed."""
    fixed = faces(batch, device)
    with torch.no_grad():
        shape, colour = model.shape(fixed.alpha, fixed.beta), model.albedo(fixed.delta)

    def raster(gradient: bool):
        with torch.set_grad_enabled(gradient):
            vertices = shape.clone().requires_grad_(gradient)
            screen = project(vertices, fixed.pose, size)
            image = interpolate(rasterize(screen, model.triangles, size, backend=backend), model.triangles, colour)
            if gradient:
                image.sum().backward()

    def whole(gradient: bool):
        with torch.set_grad_enabled(gradient):
            leaves = Coefficients(**{k: v.clone().requires_grad_(gradient) for k, v in vars(fixed).items()})
            image = render(model, leaves, size, backend=backend).image
            if gradient:
                image.sum().backward()

    return {
        "raster_forward": lambda: raster(False),
        "raster_backward": lambda: raster(True),
        "render_forward": lambda: whole(False),
        "render_backward": lambda: whole(True),
    }


def measure(model: FaceModel, backends: list[str], size: int, batch: int, repeats: dict, device: str) -> list[dict]:
    """A row a backend: best ms an image of each piece of work, images/s, and how many times our time (the first backend's) it takes."""
    rows = [{"backend": backend, "size": size, "batch": batch} for backend in backends]
    pieces = [work(model, backend, size, batch, device) for backend in backends]
    for name in pieces[0]:
        best = [float("inf")] * len(backends)
        for attempt in range(max(repeats.values()) + 1):
            for n, backend in enumerate(backends):
                if attempt > repeats[backend]:
                    continue
                start = time.perf_counter()
                pieces[n][name]()
                if device == "cuda":
                    torch.cuda.synchronize()
                if attempt:  # the first warms up
                    best[n] = min(best[n], time.perf_counter() - start)
        for row, seconds in zip(rows, best):
            row[f"{name}_ms"] = round(1000 * seconds / batch, 3)
            row[f"{name}_images_per_s"] = round(batch / seconds, 1)
            row[f"{name}_ratio"] = round(seconds / best[0], 2)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--sizes", type=int, nargs="+", default=[128, 256], help="sides of the images, pixels")
    parser.add_argument("--batch", type=int, default=8, help="images at once")
    parser.add_argument("--repeats", type=int, default=10, help="the best of so many runs")
    parser.add_argument("--slow", type=int, default=1, help="runs of the other backends on the CPU; 0 leaves them out")
    arguments = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = load_face_model().to(device)
    backends = ["auto", "torch"] if device == "cpu" else ["auto"]  # auto is numba on the CPU and torch elsewhere
    backends += ["pytorch3d"] if importlib.util.find_spec("pytorch3d") else []
    repeats = {b: arguments.slow if device == "cpu" and b != "auto" else arguments.repeats for b in backends}
    backends = [b for b in backends if repeats[b]]
    rows = [r for s in arguments.sizes for r in measure(model, backends, s, arguments.batch, repeats, device)]
    if arguments.json:
        print(json.dumps({"device": device, "threads": torch.get_num_threads(), "rows": rows}))
        return
    print(
        f"on {device}, {torch.get_num_threads()} threads, {len(model.triangles)} triangles, batches of {arguments.batch}"
    )
    print(f"{'backend':10} {'size':>5}  {'work':16} {'ms an image':>12} {'images/s':>10} {'times ours':>11}")
    for row in rows:
        for name in ("raster_forward", "raster_backward", "render_forward", "render_backward"):
            numbers = f"{row[f'{name}_ms']:12.2f} {row[f'{name}_images_per_s']:10.1f} {row[f'{name}_ratio']:11.2f}"
            print(f"{row['backend']:10} {row['size']:5}  {name:16} {numbers}")


if __name__ == "__main__":
    main()
