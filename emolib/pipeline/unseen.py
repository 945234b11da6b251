"""What 08 measures: does a face do, for an emotion that it was never shown, what people do?

Movements of the face are compared as movements of its vertices, beta B_exp over the face, by their cosine: 1 is the same change, 0 has
nothing to do with it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from emolib.ame import Ame
from emolib.eac import Eac, emotion_code
from emolib.face.gauss_newton import N_EXP, N_ID
from emolib.face.model import Coefficients, FaceModel
from emolib.hef import Hef
from emolib.media.pictures import to_tensor
from emolib.metrics.features import efd
from emolib.portrait import animate
from emolib.reenact import generate


def movement(face: FaceModel, beta: Tensor) -> Tensor:
    """beta (..., 64) -> displacements (..., 3F) of the F vertices of the face, in units."""
    return (beta @ face.exp_basis.flatten(1))[..., face.regions["face"].repeat_interleave(3)]


def published(face: FaceModel, activation: np.ndarray) -> Tensor:
    """The movement of an average person with blend-shape ``activation`` (52,)."""
    return movement(face, torch.as_tensor(activation, dtype=torch.float32) @ face.arkit_to_beta)


def true_beta(clip) -> Tensor:
    """beta (T, 64) of what the renderer of a synthetic clip knew."""
    return torch.from_numpy(clip.truth()["coefficients"][:, N_ID : N_ID + N_EXP])


@dataclass(frozen=True)
class Converter:
    """An EAC that is told emotions in words; ``told`` says which words it gets for those that are meant."""

    eac: Eac
    ame: Ame
    face: FaceModel
    told: Callable[[str], str] = str

    def code(self, words: str) -> Tensor:
        return emotion_code(self.eac, self.ame, self.told(words))

    def mean_movement(self, words: str, clips: Sequence, mu: float) -> Tensor:
        """beta_hat(words) - beta_hat(neutral) as a movement, averaged over frames and ``clips``, at intensity ``mu``."""
        codes = self.code(words), emotion_code(self.eac, self.ame, "neutral")
        betas = [[generate(self.eac, c, z, mu)[0].beta.mean(0) for z in codes] for c in clips]
        return movement(self.face, torch.stack([felt - calm for felt, calm in betas]).mean(0))

    def distance_from(self, rest: Tensor, clip, words: str, mu: float) -> float:
        """How far the mean expression lies from ``rest`` (64,), units of beta."""
        return float((generate(self.eac, clip, self.code(words), mu)[0].beta.mean(0) - rest).norm())

    def against_truth(self, clip, calm_clip) -> tuple[dict[str, float], Coefficients, Tensor]:
        """(scores, theta_hat, sigma_hat) of a clip of an unseen style whose truth is known.

        vertex_mm: mean distance of the face's vertices, speech and all. style_cosine: the person's mean movement from its own neutral
        clip ``calm_clip`` against the movement predicted from neutral.
        """
        theta, sigma = generate(self.eac, clip, self.code(clip.emotion))
        calm = generate(self.eac, clip, emotion_code(self.eac, self.ame, "neutral"))[0]
        truth = true_beta(clip)
        felt = movement(self.face, truth).mean(0) - movement(self.face, true_beta(calm_clip)).mean(0)
        off = movement(self.face, theta.beta - truth).unflatten(1, (-1, 3)).norm(dim=2).mean()
        cosine = F.cosine_similarity(movement(self.face, theta.beta - calm.beta).mean(0), felt, dim=0)
        return {"vertex_mm": self.face.mm_per_unit * float(off), "style_cosine": float(cosine)}, theta, sigma


@torch.no_grad()
def film_distance(hef: Hef, face: FaceModel, judge, clip, theta: Coefficients, sigma: Tensor, stride: int = 8) -> float:
    """EFD of every ``stride``-th generated frame against the film; judge: an emotion net that no loss has seen."""
    index = list(range(0, clip.n_frames, stride))
    film, start = to_tensor(clip.frames(index)), clip.coefficients()[0]
    made = torch.cat(list(animate(hef, face, film[:1], start, theta[index], sigma[index])))
    return float(efd(judge.features(made), judge.features(film)).mean())
