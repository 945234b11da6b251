"""The emotion of a face in a picture (e_img of Eq. 2), of drawn people and of real ones.

The image tower that ships learnt from drawn people (:mod:`emolib.train.crowd`), and half of the photographs of other feelings it calls
happy. Who is no drawn person (:mod:`emolib.critics.drawn`) is therefore looked at by a net that learnt from photographs
(:mod:`emolib.critics.onlooker`), and their embedding lies among the texts of its seven emotions as its shares say. Of labelled photographs
of people in the news, cropped to the face, .86 of the happy are understood so, .63 of the sad, .56 of the neutral, .51 of the angry, .48 of
the surprised; by the tower, of the same, .92, .43, .02, .06 and .04. Contempt the other net does not know.
"""

import numpy as np
import torch
from torch import Tensor

from emolib.ame import DEFAULT_MODEL, Ame
from emolib.critics.drawn import Drawn
from emolib.critics.onlooker import NAMES, load_onlooker
from emolib.eac import mix
from emolib.face.alignment import Alignment
from emolib.media.pictures import to_tensor

SIDE = 128  # px of the crop that is looked at


@torch.no_grad()
def pictured(ame: Ame, picture: np.ndarray, landmarks: np.ndarray) -> Tensor:
    """e_img (D,) of the face with ``landmarks`` (68, 2) in ``picture``, uint8 (H, W, 3).

    A tower that others trained (``clip_model``) has seen the world and is asked whatever the picture.
    """
    crop = to_tensor(np.array(Alignment.from_landmarks(landmarks, SIDE).crop(picture))[None])
    if ame.config["model"] != DEFAULT_MODEL or Drawn.load().has(crop).item():
        return ame.image(crop)[0]
    shares = load_onlooker().named(picture[None], landmarks)[0]
    return mix(ame.text(NAMES), torch.from_numpy(shares))
