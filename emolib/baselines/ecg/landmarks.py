"""The baseline ECG (Sinha et al., IJCAI 2022), first half: speech + emotion -> moving facial landmarks (Sec. 3.1, Eqs. 1-4, App. A.1).

    content C(speech)  ->  E_A -> f_a        emotion (e, i)  ->  E_E -> f_e
    neutral landmark graph X -> E_G -> f_l     (f_a, f_l, f_e) -> D_G -> displacements delta,  X' = X + delta

Speech content is what a frozen recogniser reads, so that emotion in the voice does not reach the mouth. Landmarks live in the 3DMM's
frontal pose, in units of a tenth of a 256-pixel crop, centred: :func:`frontal`. Head pose is not ECG's to make: :func:`posed` puts it back.
The second half, landmarks -> frames, is :mod:`emolib.baselines.ecg.texture`.
"""

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from emolib.baselines.ecg.content import CHARACTERS, Content
from emolib.corpus.shelf import Fits, Shelf
from emolib.emotions import EMOTIONS, INTENSITIES
from emolib.errors import EmolibError
from emolib.face.model import Coefficients
from emolib.weights import load_into, load_weights, save_weights

UNIT = 10 / 256  # a landmark unit as a part of the crop's side: keeps Eq. 2 and Eq. 3 of one magnitude
# The K = 8 facial regions of the local-to-global pooling, as ranges of the 68 points: jaw, brows, nose, eyes, outer and inner lips.
REGIONS = (0, 17), (17, 22), (22, 27), (27, 36), (36, 42), (42, 48), (48, 60), (60, 68)
SHOWN = tuple(name for name in EMOTIONS if name != "neutral")
# The rows of Table 3 of Sinha et al.; of the last it is the training that differs.
VARIANTS = ("full", "wo_graph", "wo_skips", "wo_omega", "wo_gan")
LIDS = (37, 41), (38, 40), (43, 47), (44, 46)  # points of upper lids and those that they meet in a blink


def emotion_vector(emotion: str, intensity: float) -> Tensor:
    """(e, i) of Sec. 3.1 as (9,): one-hot over the emotions, and over the intensities low and high; a middle one is half of each.

    Neutral is 0, the absence of both. EmolibError if unknown.
    """
    if emotion not in EMOTIONS:
        raise EmolibError(f"emotion is {emotion!r}; ECG knows {', '.join(EMOTIONS)}")
    if not INTENSITIES[0] <= intensity <= INTENSITIES[-1]:
        raise EmolibError(f"intensity is {intensity}; expected {INTENSITIES[0]} to {INTENSITIES[-1]}")
    vector = torch.zeros(len(SHOWN) + 2)
    if emotion != "neutral":
        high = (intensity - INTENSITIES[0]) / (INTENSITIES[-1] - INTENSITIES[0])
        vector[SHOWN.index(emotion)], vector[-2], vector[-1] = 1.0, 1 - high, high
    return vector


class EmotionEncoder(nn.Module):
    """E_E, one convolution: (B, 9) -> f_e (B, 128). G_L and G_T have one each (Sec. 3.2: "in a similar manner")."""

    def __init__(self, width: int = 128):
        super().__init__()
        self.conv = nn.Conv1d(len(SHOWN) + 2, width, 1)

    def forward(self, emotion: Tensor) -> Tensor:
        return self.conv(emotion[..., None])[..., 0]


class AudioEncoder(nn.Module):
    """E_A: content (B, W, 29) -> f_a (B, 128), by three layers of LSTM.

    standardise (ours): each moment is standardised first. Log-probabilities are about -8 but for one or two characters, and numbers as
    large as that shut the gates: without it the lips do not move.
    """

    def __init__(self, content: int, d: int, standardise: bool = True, hidden: int = 256):
        super().__init__()
        self.norm = nn.LayerNorm(content) if standardise else nn.Identity()
        self.lstm = nn.LSTM(content, hidden, num_layers=3, batch_first=True)
        self.last = nn.Linear(hidden, d)

    def forward(self, content: Tensor) -> Tensor:
        return self.last(self.lstm(self.norm(content))[0][:, -1])


def delaunay_adjacency(points: np.ndarray) -> np.ndarray:
    """Symmetric 0/1 adjacency (N, N) of the Delaunay triangulation of points (N, 2), zero diagonal."""
    from scipy.spatial import Delaunay

    adjacency = np.zeros((len(points), len(points)), np.float32)
    for a, b, c in Delaunay(points).simplices:
        adjacency[[a, b, c], [b, c, a]] = adjacency[[b, c, a], [a, b, c]] = 1.0
    return adjacency


def region_pooling() -> Tensor:
    """(K, 68): row k averages the points of region k."""
    pooling = torch.zeros(len(REGIONS), 68)
    for k, (start, end) in enumerate(REGIONS):
        pooling[k, start:end] = 1 / (end - start)
    return pooling


class GraphConv(nn.Module):
    """Eq. 1: f' = sigma(D^-1/2 omega (A + I) D^-1/2 f W), omega a learnable weight for each edge; (B, N, inputs) ->
    (B, N, outputs). weighted: False keeps omega at 1.
    """

    normalised: Tensor

    def __init__(self, adjacency: np.ndarray | Tensor, inputs: int, outputs: int, weighted: bool = True):
        super().__init__()
        with_self = torch.as_tensor(adjacency, dtype=torch.float32) + torch.eye(len(adjacency))
        root = with_self.sum(1).rsqrt()
        self.register_buffer("normalised", root[:, None] * with_self * root[None], persistent=False)
        self.omega = nn.Parameter(torch.ones_like(with_self), requires_grad=weighted)
        self.weight = nn.Linear(inputs, outputs)

    def forward(self, f: Tensor) -> Tensor:
        return F.leaky_relu(self.weight((self.omega * self.normalised) @ f), 0.2)


class GraphEncoder(nn.Module):
    """E_G: landmarks (B, 68, 2) -> f_l (B, d), and the features of each level for the skips, (B, 8, d) and (B, 68, d).

    Three graph convolutions, pooling to the graph of the regions; one more, pooling to the whole face.
    """

    pool: Tensor

    def __init__(self, adjacency: np.ndarray, d: int = 128, weighted: bool = True):
        super().__init__()
        self.register_buffer("pool", region_pooling(), persistent=False)
        widths = (2, 32, 64, d)
        self.local = nn.ModuleList(GraphConv(adjacency, a, b, weighted) for a, b in zip(widths, widths[1:]))
        self.regional = GraphConv(region_adjacency(adjacency), d, d, weighted)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        points = x * UNIT * 2
        for layer in self.local:
            points = layer(points)
        regions = self.regional(self.pool @ points)
        return regions.mean(1), regions, points


def region_adjacency(adjacency) -> Tensor:
    """(8, 8): regions that an edge of the graph (68, 68) joins."""
    pooling = region_pooling()
    return (pooling @ torch.as_tensor(adjacency, dtype=torch.float32) @ pooling.T > 0).float().fill_diagonal_(0)


class LandmarkGenerator(nn.Module):
    """G_L: content (B, W, C), emotion (B, 9), neutral landmarks (B, 68, 2) -> landmarks X' = X + delta (B, 68, 2).

    adjacency: (68, 68) of the mean face's Delaunay graph; one graph for all faces, so that omega has a meaning.
    content: width C of the content features. d: length of f_a, f_e, f_l (the paper: 128). variant: a row of :data:`VARIANTS`.
    standardise: see :class:`AudioEncoder`.
    """

    def __init__(
        self, adjacency, content: int = CHARACTERS, d: int = 128, variant: str = "full", standardise: bool = True
    ):
        super().__init__()
        adjacency = np.asarray(adjacency, np.float32)
        self.config = {"adjacency": adjacency.astype(int).tolist(), "content": content, "d": d, "variant": variant}
        self.config["standardise"] = standardise
        weighted = variant != "wo_omega"
        self.audio, self.emotion = AudioEncoder(content, d, standardise), EmotionEncoder(d)
        self.encoder = GraphEncoder(adjacency, d, weighted)
        self.regions = nn.Linear(3 * d, len(REGIONS) * d)
        self.regional = GraphConv(region_adjacency(adjacency), 2 * d, d, weighted)
        self.register_buffer("unpool", (region_pooling().T > 0).float(), persistent=False)
        widths = (2 * d, 64, 32, 32)
        self.local = nn.ModuleList(GraphConv(adjacency, a, b, weighted) for a, b in zip(widths, widths[1:]))
        self.displacement = nn.Linear(32, 2)
        nn.init.zeros_(self.displacement.weight)  # starts as the neutral face
        nn.init.zeros_(self.displacement.bias)

    def forward(self, content: Tensor, emotion: Tensor, neutral: Tensor) -> Tensor:
        f_l, regions, points = self.encoder(neutral)
        if self.config["variant"] == "wo_graph":  # and so without skips, too
            f_l = torch.zeros_like(f_l)
        if self.config["variant"] in ("wo_graph", "wo_skips"):
            regions, points = torch.zeros_like(regions), torch.zeros_like(points)
        f = self.regions(torch.cat([self.audio(content), f_l, self.emotion(emotion)], 1)).unflatten(
            1, (len(REGIONS), -1)
        )
        f = self.regional(torch.cat([F.leaky_relu(f, 0.2), regions], 2))
        f = torch.cat([self.unpool @ f, points], 2)
        for layer in self.local:
            f = layer(f)
        return neutral + self.displacement(f)

    def save(self, path: str | Path, content: Content) -> Path:
        """Writes the generator and the content net it listens through."""
        state = {f"generator.{k}": v for k, v in self.state_dict().items()}
        state |= {f"content.{k}": v for k, v in content.state_dict().items()}
        return save_weights(path, state, self.config | {"listener": content.config})

    @classmethod
    def load(cls, path: str | Path) -> tuple["LandmarkGenerator", Content]:
        """(generator, content net), frozen. Raises :class:`EmolibError` for a missing, damaged or foreign file."""
        state, config = load_weights(path)
        if set(config) - {"standardise"} != {"adjacency", "content", "d", "variant", "listener"}:
            raise EmolibError(f"{path} holds no ECG landmark generator; expected data/06_ecg/landmarks.safetensors")
        content = Content(**config.pop("listener"))
        parts = [
            {k.removeprefix(p): v for k, v in state.items() if k.startswith(p)} for p in ("generator.", "content.")
        ]
        return load_into(cls(**config), parts[0], path), load_into(content, parts[1], path)


class GraphDiscriminator(nn.Module):
    """D_L(G, e) of Eq. 3: landmarks (B, 68, 2) and emotion (B, 9) -> realness (B,)."""

    def __init__(self, adjacency: np.ndarray, d: int = 128):
        super().__init__()
        self.encoder, self.emotion = GraphEncoder(adjacency, d), EmotionEncoder(d)
        self.score = nn.Sequential(nn.Linear(2 * d, d), nn.LeakyReLU(0.2), nn.Linear(d, 1))

    def forward(self, landmarks: Tensor, emotion: Tensor) -> Tensor:
        return self.score(torch.cat([self.encoder(landmarks)[0], self.emotion(emotion)], 1))[:, 0]


def fitted_clips(corpus):
    """The clips of ``corpus`` that have fitted coefficients; EmolibError if none has."""
    found = corpus.fitted()
    if not len(found):
        raise EmolibError(
            "no clip of the corpus has fitted coefficients; run `dvc repro 02_fitting` or check the split"
        )
    return found


class LandmarkSet:
    """What G_L learns from: the video frames of all clips, content and fits on shelves (:mod:`emolib.corpus.shelf`)."""

    def __init__(self, corpus, model, content: Content):
        self.model, self.clips, self.content = model, list(fitted_clips(corpus)), Shelf()
        self.fits = Fits(self.clips)
        lengths = [self.fits.length(i) for i in range(len(self.fits))]
        for clip, length in zip(self.clips, lengths):
            self.content.put(content.windows(clip.audio(), length, float(clip.fps)))
        self.ends = np.cumsum(lengths)

    def __len__(self) -> int:
        return int(self.ends[-1])

    def take(self, index: np.ndarray, device="cpu") -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Of frames number ``index`` (B,): content (B, W, 29), emotion (B, 9), neutral and spoken landmarks (B, 68, 2)."""
        clips = np.searchsorted(self.ends, index, side="right")
        at = [int(i - self.ends[c] + self.fits.length(c)) for c, i in zip(clips, index)]
        heard = np.concatenate([self.content.rows(c, t, t + 1) for c, t in zip(clips, at)])
        theta = Coefficients.cat([self.fits[c][t] for c, t in zip(clips, at)])
        told = torch.stack([emotion_vector(self.clips[c].emotion, self.clips[c].intensity) for c in clips])
        neutral = frontal(self.model, theta.alpha, torch.zeros_like(theta.beta))
        spoken = frontal(self.model, theta.alpha, theta.beta)
        return torch.from_numpy(heard).to(device), told.to(device), neutral.to(device), spoken.to(device)


def frontal(model, alpha: Tensor, beta: Tensor) -> Tensor:
    """Landmarks (B, 68, 2) of the 3DMM without head pose, in units of a tenth of a 256-pixel crop from its centre."""
    return (model.landmarks(alpha, beta, alpha.new_zeros(len(alpha), 6), 1) - 0.5) / UNIT


def posed(model, alpha: Tensor, landmarks: Tensor, pose: Tensor, size: int) -> Tensor:
    """Frontal landmarks (T, 68, 2) in units -> pixels (T, 68, 2) of a head of shape alpha (T, 80) in ``pose`` (T, 6).

    The neutral face is posed in 3D; the displacement from it is turned by the affine map that the pose is for the
    neutral face.
    """
    still = alpha.new_zeros(len(alpha), 64)
    neutral, turned = frontal(model, alpha, still), model.landmarks(alpha, still, pose, size)
    centred, moved = neutral - neutral.mean(1, keepdim=True), turned - turned.mean(1, keepdim=True)
    linear = torch.linalg.lstsq(centred, moved).solution  # (T, 2, 2)
    return turned + (landmarks - neutral) @ linear


def blinking(landmarks: Tensor, closure: np.ndarray) -> Tensor:
    """Landmarks (T, 68, 2) with lids closed by ``closure`` (T,) in [0, 1]: upper ones come down to the lower."""
    upper, lower = (list(side) for side in zip(*LIDS))
    closing = torch.from_numpy(np.asarray(closure)).to(landmarks)[:, None, None]
    closed = landmarks.clone()
    closed[:, upper] = torch.lerp(landmarks[:, upper], landmarks[:, lower], closing)
    return closed


@torch.no_grad()
def predict_landmarks(net, content, model, audio, alpha, emotion, intensity, n_frames: int, fps: float) -> Tensor:
    """Frontal landmarks (n_frames, 68, 2) in units, for speech (n_samples,) and a head of shape alpha (1, 80)."""
    device = alpha.device
    windows = torch.from_numpy(content.windows(audio, n_frames, fps)).to(device)
    vector = emotion_vector(emotion, intensity).to(device).expand(n_frames, -1)
    neutral = frontal(model, alpha, alpha.new_zeros(1, 64)).expand(n_frames, -1, -1)
    return net(windows, vector, neutral)
