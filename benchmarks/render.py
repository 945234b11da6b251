"""How fast the renderer is: ms an image, forward and forward + backward, by size and backend.

    python benchmarks/render.py            a table
    python benchmarks/render.py --json     one JSON object

"raster" rasterises, shades and interpolates a colour; "render" is the whole R(theta), with Eq. 1 in front.
"""

import argparse
import importlib.util
import json
import time

import torch

from emolib.face.model import Coefficients, FaceModel
from emolib.face.render import interpolate, project, rasterize, render


def faces(batch: int, device: str) -> Coefficients:
    """Seeded faces with a little of everything."""
    generator = torch.Generator().manual_seed(0)
    vector = torch.randn(batch, 257, generator=generator)
    vector[:, 224:251] *= 0.05
    vector[:, 251:] *= 0.1
    return Coefficients.from_vector(vector).to(device)


def milliseconds(work, repeats: int, device: str) -> float:
    """Best of ``repeats`` wall times of ``work()``, after one to warm up."""
    best = float("inf")
    for attempt in range(repeats + 1):
        start = time.perf_counter()
        work()
        if device == "cuda":
            torch.cuda.synchronize()
        if attempt:
            best = min(best, time.perf_counter() - start)
    return 1000 * best


def measure(model: FaceModel, backend: str, size: int, batch: int, repeats: int, device: str) -> dict:
    """One row: ms an image of each piece of work."""
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

    row = {"backend": backend, "size": size, "batch": batch}
    for name, work in (("raster", raster), ("render", whole)):
        for suffix, gradient in (("forward", False), ("backward", True)):
            spent = milliseconds(lambda work=work, gradient=gradient: work(gradient), repeats, device)
            row[f"{name}_{suffix}_ms"] = round(spent / batch, 3)
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--sizes", type=int, nargs="+", default=[128, 256], help="sides of the images, pixels")
    parser.add_argument("--batch", type=int, default=8, help="images at once")
    parser.add_argument("--repeats", type=int, default=5, help="the best of so many runs")
    arguments = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = FaceModel.load().to(device)
    backends = ["numba", "torch"] + (["pytorch3d"] if importlib.util.find_spec("pytorch3d") else [])
    rows = [measure(model, b, s, arguments.batch, arguments.repeats, device) for b in backends for s in arguments.sizes]
    if arguments.json:
        print(json.dumps({"device": device, "threads": torch.get_num_threads(), "rows": rows}))
        return
    print(
        f"ms an image on {device}, {torch.get_num_threads()} threads, {len(model.triangles)} triangles; forward / + backward"
    )
    print(f"{'backend':10} {'size':>5} {'raster':>17} {'render':>17}")
    for row in rows:
        pairs = [f"{row[f'{n}_forward_ms']:8.2f}/{row[f'{n}_backward_ms']:8.2f}" for n in ("raster", "render")]
        print(f"{row['backend']:10} {row['size']:5} {pairs[0]:>17} {pairs[1]:>17}")


if __name__ == "__main__":
    main()
