"""From what drawn actors show to what people show.

EAC learns faces from actors that are drawn by the book (FACS action units), and a photograph that does all the book says is not read as the
book says: of ten real portraits two nets that learnt from photographs of people called none angry, and sneers smiles. What was
missing could be tried out on these portraits, action by action, until the nets, and eyes, agreed (``told_*`` of 07):

- a voice tells EAC of its own emotion, and a cheerful one told to be contemptuous smiled: what lips do not need for speech is what EAC
  shows, told the same, when nothing is said;
- who is angry draws up the nose with the brows, opens the mouth wide and bares its teeth where it opens, and presses lips only for p, b, m;
- who is happy smiles half as broadly again as an actor, or a speaking mouth hides it (neutral faces; those of the ten smiled);
- disgust does not stretch the lips, which is a smile's; it draws the corners down;
- contempt is on one side, with the other brow raised: on both it is a smile;
- brows come down 9 mm and lids to a half; what actors do beyond that folds skin over the eyes, or sleeps;
- folds of a smile stay in the skin of a photograph when its lips are made to leave it, and are read as what is left of it.

Rules on actions, frame by frame, so that levels, mixtures and transitions keep their order.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from emolib.face.model import FaceModel

# What words decide, and not the voice: all but jaw and lips.
TOLD = (
    "browDown", "browOuterUp", "cheekSquint", "eyeBlink", "eyeSquint", "eyeWide", "noseSneer", "mouthSmile", "mouthFrown", "mouthDimple",
)  # fmt: skip
BREATH = 25  # frames, one second: what is slower is mood, what is quicker goes with a syllable

FROWN = 0.7  # of browDown: brows 9 mm lower. In full the model's come down 14 mm, over the eyes, as no face can
LIDS, SQUINT = 0.25, 0.5  # of eyeBlink: how far an expression closes the eyes, to which a squint adds by half
SNEER = 0.25  # of noseSneer: what contempt shows; beyond it is disgust
ANGER = {"noseSneer": 1.0, "mouthFrown": 0.6}  # an angry face shows so much more of these, in shares of how angry it is
SPEAKING = {"mouthLowerDown": 1.5, "mouthUpperUp": 1.5}  # and of these, times how far the mouth is open,
LOUD = 0.5  # and so much further it opens, where it is open
CLOSING = 0.3  # of mouthPress: how far it shuts the lips of an open jaw
PRESSED = 0.35  # of mouthPress: what anger does not press; more is a p, b or m
JOY, LAUGHING = {"mouthSmile": 0.6, "cheekSquint": 0.2}, {"mouthUpperUp": 1.0}  # the same of who smiles
DISGUST = {"browDown": 0.2, "mouthUpperUp": 0.3, "mouthFrown": 0.8, "eyeSquint": 0.3}
LESS_ANGRY, LESS_DISGUSTED = {"eyeSquint": 0.7}, {"mouthStretch": 1.0}  # shares that they lose of these
CONTEMPT = 0.5  # of mouthDimple: what is contempt in full
STRONGER, WEAKER = (
    {"mouthDimple": 0.3, "browDown": 0.25},
    {"mouthFrown": 0.2, "browOuterUp": 0.5},
)  # what its two sides show more
LESS_CONTEMPT = {"mouthSmile": 1.0, "mouthUpperUp": 0.6}
LEAVING = 0.3  # so much more than wholly is the portrait's own expression left
LEFT_IN_SKIN = ("mouthSmile", "mouthFrown", "mouthDimple", "cheekSquint", "browDown", "browOuterUp", "noseSneer")


def as_told(model: FaceModel, beta: Tensor, silent: Tensor) -> Tensor:
    """beta (T, 64) of a voice, with the mood of ``silent`` (1|T, 64), which is EAC's, told the same, for silence: what changes over more
    than :data:`BREATH` of the actions :data:`TOLD`, and of the inner brows."""
    told = _Actions(model, beta)
    wanted = _Actions(model, silent).values.expand_as(told.values)
    places = [place for name in TOLD for place in told.places(name)] + [model.arkit_names.index("browInnerUp")]
    change = torch.zeros_like(told.values)
    change[:, places] = _slow((wanted - told.values)[:, places])
    return beta + change @ model.arkit_to_beta


def _slow(x: Tensor) -> Tensor:
    """The mean of x (T, C) over :data:`BREATH` frames about each, fewer at the ends."""
    rows, half = x.T[None], BREATH // 2
    return F.avg_pool1d(rows, BREATH, 1, half, count_include_pad=False)[0].T


def as_people(model: FaceModel, beta: Tensor, own: Tensor) -> Tensor:
    """beta (T, 64) as EAC gives it -> as a person shows it in whose photograph the expression is ``own`` (1, 64)."""
    told = _Actions(model, beta)
    wanted = torch.zeros_like(told.values)
    pressed = told.pair("mouthPress")
    jaw = (told.of("jawOpen") - CLOSING * pressed.mean(1)).clamp(min=0)
    anger = (told.pair("browDown").mean(1) - told.of("browInnerUp")).clamp(min=0)
    disgust = (told.pair("noseSneer").mean(1) - SNEER).clamp(min=0)
    dimples = told.pair("mouthDimple")
    contempt = (dimples.mean(1, keepdim=True) / CONTEMPT).clamp(max=1)
    joy = told.pair("mouthSmile").mean(1) * (1 - contempt[:, 0])
    for share, more, less in (
        (anger, ANGER, LESS_ANGRY),
        (anger * jaw, SPEAKING, {}),
        (disgust, DISGUST, LESS_DISGUSTED),
        (joy, JOY, {}),
        (joy * jaw, LAUGHING, {}),
    ):
        for name, amount in more.items():
            wanted[:, told.places(name)] += amount * share[:, None]
        for name, amount in less.items():
            wanted[:, told.places(name)] -= amount * share[:, None] * told.pair(name)
    wanted[:, told.names.index("jawOpen")] += LOUD * anger * jaw
    wanted[:, told.places("mouthPress")] -= anger[:, None] * pressed.clamp(max=PRESSED)
    # The side that shows less gives way, all of it where the other shows twice as much.
    weaker = contempt * (3 * (dimples.flip(1) - dimples) / dimples.sum(1, keepdim=True).clamp(min=1e-3)).clamp(0, 1)
    for side, more in ((weaker.flip(1), STRONGER), (weaker, WEAKER)):
        for name, amount in more.items():
            wanted[:, told.places(name)] += amount * side
    wanted[:, told.places("mouthDimple")] -= weaker * dimples
    for name, amount in LESS_CONTEMPT.items():
        wanted[:, told.places(name)] -= amount * contempt * told.pair(name)
    left = _Actions(model, own)
    for name in LEFT_IN_SKIN:
        wanted[:, told.places(name)] -= LEAVING * left.pair(name)
    return within_reach(model, beta + wanted @ model.arkit_to_beta)


def within_reach(model: FaceModel, beta: Tensor) -> Tensor:
    """beta (T, 64) with brows no lower than :data:`FROWN` and lids no further closed than :data:`LIDS`, before any blink."""
    shown = _Actions(model, beta)
    over = torch.zeros_like(shown.values)
    over[:, shown.places("browDown")] = (shown.pair("browDown") - FROWN).clamp(min=0)
    closed = shown.pair("eyeBlink") + SQUINT * shown.pair("eyeSquint")
    over[:, shown.places("eyeBlink")] = (closed - LIDS).clamp(min=0)
    return beta - over @ model.arkit_to_beta


class _Actions:
    """What of the 52 actions beta (T, 64) shows, in [0, 1]."""

    def __init__(self, model: FaceModel, beta: Tensor):
        self.names, self.values = model.arkit_names, (beta @ model.beta_to_arkit).clamp(0, 1)

    def places(self, name: str) -> list[int]:
        return [self.names.index(name + side) for side in ("Left", "Right")]

    def pair(self, name: str) -> Tensor:
        """(T, 2): left and right."""
        return self.values[:, self.places(name)]

    def of(self, name: str) -> Tensor:
        return self.values[:, self.names.index(name)]
