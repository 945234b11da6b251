"""What a generator does to real photographs, at their own resolution: the two portraits that ship in packages.

No truth is known of what these people look like in motion; measured is what must hold of it all the same: at rest a photograph stays
itself, in motion it keeps its detail, and a net that has seen photographs reads the actions that were asked for.
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from emolib.face.alignment import Alignment
from emolib.face.arkit import ARKIT
from emolib.face.landmarks import detect, shapes
from emolib.face.model import Coefficients, FaceModel
from emolib.face.render import render
from emolib.hef import Hef
from emolib.media.audio import save_wav
from emolib.media.pictures import to_frames
from emolib.portrait import Portrait, portrait_of, warp_sharp
from emolib.scene import NOBODY, filled
from emolib.sight import look, sight

ASKED = {
    "jawOpen": ("jawOpen",),
    "smile": ("mouthSmileLeft", "mouthSmileRight"),
    "eyeBlink": ("eyeBlinkLeft", "eyeBlinkRight"),
    "browInnerUp": ("browInnerUp",),
}
TIMED_SIDE = 256  # px
STEPS = (0.0, 0.5, 1.0)  # how far each is asked for
TURNS = (
    (0.08, 0, 0),
    (-0.06, 0.1, 0),
    (0, -0.12, 0.05),
    (0.04, 0.08, -0.06),
)  # pitch, yaw, roll in rad of the moving frames
SPEAKING = {
    "jawOpen": 0.3,
    "mouthSmileLeft": 0.3,
    "mouthSmileRight": 0.3,
    "browInnerUp": 0.5,
}  # and what the face does in them
BROWS = ("browInnerUp", "browDownLeft")


class Photograph(NamedTuple):
    """A real portrait, fitted and ready to be moved by a generator."""

    name: str
    image: np.ndarray  # uint8 (H,W,3)
    portrait: Portrait
    alignment: Alignment


def photographs(hef: Hef, model: FaceModel) -> Iterator[Photograph]:
    """Eileen Collins (NASA, in scikit-image) and Rear Admiral Grace Hopper (US Navy, in Matplotlib)."""
    import matplotlib.cbook
    import matplotlib.pyplot as plt
    import skimage.data

    hopper = plt.imread(str(matplotlib.cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)))
    for name, image in {"astronaut": skimage.data.astronaut(), "hopper": hopper}.items():
        yield Photograph(name, image, *portrait_of(hef, model, image, detect(image)[0].landmarks))


def acted(model: FaceModel, own: Coefficients, actions: dict[str, float]) -> Coefficients:
    """``own`` with the expression of ARKit ``actions``, by name."""
    weights = torch.tensor([[actions.get(name, 0.0) for name in ARKIT]])
    return own.replace(beta=weights @ model.arkit_to_beta)


def sharpness(image: Tensor, mask: Tensor) -> float:
    """Variance of the Laplacian of the grey image (1,3,S,S) under mask (1,1,S,S)."""
    kernel = image.new_tensor([[0, -1, 0], [-1, 4, -1], [0, -1, 0]])[None, None]
    return float(F.conv2d(image.mean(1, keepdim=True), kernel, padding=1)[mask > 0.5].var())


def high_band(image: Tensor) -> Tensor:
    """The grey image (1,3,S,S) less its mean over 1/32 of the side."""
    grey, kernel = image.mean(1, keepdim=True), image.shape[-1] // 32 | 1
    return grey - F.avg_pool2d(grey, kernel, 1, kernel // 2, count_include_pad=False)


def kept(model: FaceModel, photograph: Photograph, sigma: Tensor) -> dict[str, float]:
    """What is left of a photograph, inside the face: ``still_psnr_db`` and ``still_sharpness`` (Laplacian variance, of the source's)
    at rest; ``moving_sharpness`` (variance, of the source's) and ``detail_correlation`` of the high band, laid back onto the source, over
    :data:`TURNS`.
    """
    ready = photograph.portrait
    own, picture, side = ready.own, ready.picture, ready.side
    inside = erode(sight(model, ready.view, own, side).mask * face_of(model, own, side), side // 64)
    if ready.scene is not None:  # hair and glasses before it keep theirs, see `stays`
        inside = inside * (ready.scene.cover < 0.01)
    still = ready.frames(own, sigma)
    found = {
        "still_psnr_db": float(
            -10 * (still - picture).square()[inside.expand_as(still) > 0.5].mean().clamp(min=1e-9).log10()
        )
    }
    full = sharpness(picture, inside)
    found["still_sharpness"] = sharpness(still, inside) / full
    sharp, alike = [], []
    for turn in TURNS:
        target = acted(model, own, SPEAKING)
        target = target.replace(pose=own.pose + F.pad(torch.tensor([turn], dtype=torch.float32), (0, 3)))
        back = sight(model, look(model, target, side), own, side)  # where each point of the source lies in the frame
        returned = warp_sharp(ready.frames(target, sigma), back.motion())
        there = inside * erode((back.seen > 0.99).float() * (1 - back.inside), side // 64)
        bands = [high_band(x)[there > 0.5].numpy() for x in (returned, picture)]
        sharp.append(bands[0].var() / bands[1].var())
        alike.append(np.corrcoef(bands[0], bands[1])[0, 1])
    return found | {"moving_sharpness": float(np.mean(sharp)), "detail_correlation": float(np.mean(alike))}


def stays(model: FaceModel, photograph: Photograph, sigma: Tensor) -> dict[str, float]:
    """What must not move, mean change in 255ths, and the same of a portrait without its scene (``_bare``): ``background``, a checkerboard
    put behind the person, while the head turns (:data:`TURNS`); ``cover``, hair and glasses before a face that frowns and lifts its brows.
    """
    ready, scene = photograph.portrait, photograph.portrait.scene
    assert scene is not None
    board = _board(ready.side).expand(1, 3, -1, -1)
    behind = (ready.picture + (1 - scene.person) * (board - scene.behind)).clamp(0, 1)
    staged = scene._replace(behind=filled(behind, (scene.person < NOBODY).float()))
    wall = erode((scene.person < NOBODY).float(), ready.side // 40) > 0.5
    over = scene.cover > 0.9
    turned = [
        ready.own.replace(pose=ready.own.pose + F.pad(torch.tensor([t], dtype=torch.float32), (0, 3))) for t in TURNS
    ]
    browsing = [acted(model, ready.own, {name: 1.0}) for name in BROWS]
    found = {}
    for name, kept_with in (("", staged), ("_bare", None)):
        before_board = Portrait(ready.hef, model, behind, ready.own, kept_with)
        changed = [(before_board.frames(t, sigma) - behind).abs().mean(1, keepdim=True)[wall].mean() for t in turned]
        found[f"background{name}"] = 255 * float(torch.stack(changed).mean())
        itself = ready if kept_with is not None else Portrait(ready.hef, model, ready.picture, ready.own)
        changed = [(itself.frames(b, sigma) - ready.picture).abs().mean(1, keepdim=True)[over].mean() for b in browsing]
        found[f"cover{name}"] = 255 * float(torch.stack(changed).mean())
    return found


def _board(side: int) -> Tensor:
    """A checkerboard (side, side) of 16 fields each way, in [0, 1]."""
    field = torch.arange(side) * 16 // side
    return 0.15 + 0.6 * ((field[:, None] + field) % 2)


def face_of(model: FaceModel, own: Coefficients, side: int) -> Tensor:
    """(1,1,S,S): where the facial skin is."""
    return render(model, own, side).mask


def erode(mask: Tensor, by: int) -> Tensor:
    return 1 - F.max_pool2d(1 - mask, 2 * by + 1, 1, by)


def read(model: FaceModel, photograph: Photograph, sigma: Tensor) -> dict[str, list[float]]:
    """What the face net reads of each of :data:`ASKED` when it is asked for by :data:`STEPS`, on the face at rest."""
    found = {}
    for name, actions in ASKED.items():
        wanted = [acted(model, photograph.portrait.own, dict.fromkeys(actions, step)) for step in STEPS]
        frames = np.concatenate([to_frames(photograph.portrait.frames(w, sigma)) for w in wanted])
        seen = shapes(frames)[:, [ARKIT.index(action) for action in actions]]
        found[name] = seen.mean(1).tolist()
    return found


def measures(shown: Iterable[Photograph], model: FaceModel, sigma: Tensor) -> dict[str, float]:
    """The keys of 05: the worst of the photographs in :func:`kept`, the mean of them in :func:`stays`, and of all actions what the face
    net reads: mean distance from what was asked for, share of actions that grow with it; and ms a frame of a face of 256 px (the speed
    of this machine, now)."""
    worst: list[dict[str, float]] = []
    errors, growing, speed = [], [], {}
    staying: dict[str, list[float]] = {}
    for photograph in shown:
        for key, value in stays(model, photograph, sigma).items():
            staying.setdefault(f"photo_{key}_change", []).append(value)
        if (side := photograph.portrait.side) == TIMED_SIDE:
            speed[f"ms_per_frame_{side}"] = 1000 * seconds_a_frame(photograph, sigma)
        worst.append(kept(model, photograph, sigma))
        for seen in read(model, photograph, sigma).values():
            errors.append(np.abs(np.subtract(seen, STEPS)).mean())
            growing.append((np.diff(seen) > 0).all())
    found = {f"photo_{key}": min(w[key] for w in worst) for key in worst[0]}
    found |= {key: float(np.mean(values)) for key, values in staying.items()}
    return (
        found | speed | {"shape_error_photo": float(np.mean(errors)), "shape_monotone_photo": float(np.mean(growing))}
    )


def average_sigma(hef: Hef) -> Tensor:
    """(1, C)."""
    return hef.style_mean[None, -hef.config["sigma_dim"] :]


FIRST_FRAME = """
import sys
from emolib.request import check
from emolib.talker import Talker

talker = Talker.load()
next(talker.frames(talker.placed(check(*sys.argv[1:3], "happy", out=sys.argv[3]))))
"""


def first_frame(image: np.ndarray, audio: np.ndarray) -> float:
    """From the start of a process with the weights that ship to its first frame, s."""
    with tempfile.TemporaryDirectory() as folder:
        files = [f"{folder}/{name}" for name in ("me.png", "voice.wav", "me.mp4")]
        Image.fromarray(image).save(files[0])
        save_wav(files[1], audio)
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", FIRST_FRAME, *files], check=True)
        return time.perf_counter() - start


def seconds_a_frame(photograph: Photograph, sigma: Tensor, frames: int = 24) -> float:
    """From coefficients to the pasted picture, s."""
    turn = torch.linspace(-0.1, 0.1, frames)[:, None] * torch.tensor([[1.0, 1, 0.3, 0, 0, 0]])
    wanted = photograph.portrait.own.expand(frames)
    wanted = wanted.replace(pose=wanted.pose + turn)

    def work(part: slice) -> None:
        for face in to_frames(photograph.portrait.frames(wanted[part], sigma)):
            photograph.alignment.paste(face, photograph.image)

    work(slice(0, 4))
    start = time.perf_counter()
    for i in range(0, frames, 4):
        work(slice(i, i + 4))
    return (time.perf_counter() - start) / frames
