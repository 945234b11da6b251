"""The Emotion-aware Audio-to-3DMM Convertor and AME's learned audio encoder (Xu et al. 2023, Sec. 3.2, 3.3, Eqs. 2-4).

    A (B,T,W,80) --MLP--> [sigma = mu sigma_base, tokens] + PE + MLP(z_emo) --Phi--> sigma_hat (B,C), beta_hat (B,T,64)

``A`` holds, for each video frame, the W mel frames centred on it (100 mel frames a second). ``z_emo`` is a text, image
or audio embedding of one space (Eq. 2); ``mu`` is the intensity, 1 to 3. The rows of Table 3 are :data:`VARIANTS`: other
encodings of the emotion, other networks for Phi, and the same network trained without L_emo.
Training is in :mod:`emolib.train.eac`.
"""

import itertools
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from emolib.emotions import EMOTIONS
from emolib.errors import EmolibError
from emolib.layers import Dropout
from emolib.media.audio import MEL_RATE, N_MELS, mel_windows
from emolib.weights import load_into, load_weights, save_weights

BETA = 64
PE_SCALE = 0.2  # of the positional encoding beside tokens of unit size: who speaks when matters less than what is heard


class Variant(NamedTuple):
    """A row of Table 3. arch: what Phi is. encoding: what z_emo is. emotion_loss: whether L_emo (Eq. 6) is used."""

    arch: str  # transformer | mlp | gru
    encoding: str  # clip: text, image and audio of one space | lm: sentence embedding of the text alone | onehot
    emotion_loss: bool


VARIANTS = {
    "full": Variant("transformer", "clip", True),
    "wo_emo": Variant("transformer", "clip", False),
    "onehot": Variant("transformer", "onehot", True),
    "lm": Variant("transformer", "lm", True),
    "mlp": Variant("mlp", "clip", True),
    "gru": Variant("gru", "clip", True),
}


def sinusoids(length: int, dim: int, device: torch.device | None = None) -> Tensor:
    """Positional encoding (length, dim) of Vaswani et al. 2017, Sec. 3.5; any length: T may change after training."""
    position = torch.arange(length, device=device, dtype=torch.float32)[:, None]
    rate = torch.exp(torch.arange(0, dim, 2, device=device) * (-np.log(10000.0) / dim))
    return torch.stack([torch.sin(position * rate), torch.cos(position * rate)], -1).flatten(1)[:, :dim]


def _mlp(inside: int, hidden: int, outside: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inside, hidden), nn.GELU(), nn.Linear(hidden, outside))


def _transformer(dim: int, depth: int, heads: int, dropout: float) -> nn.TransformerEncoder:
    layer = nn.TransformerEncoderLayer(dim, heads, 4 * dim, 0.0, F.gelu, batch_first=True, norm_first=True)
    for name in ("dropout", "dropout1", "dropout2"):
        setattr(layer, name, Dropout(dropout))
    return nn.TransformerEncoder(layer, depth, norm=nn.LayerNorm(dim), enable_nested_tensor=False)


class _SoundMlp(nn.Module):
    """MLP(A): one token for a window of W mel frames. Its first two layers share their weights over time.

    Without that, without normalised bands and without the last normalisation (sound must not drown in PE), training takes
    three times as long to move the lips.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, window: int, dim: int):
        super().__init__()
        self.register_buffer("mean", torch.zeros(N_MELS))
        self.register_buffer("std", torch.ones(N_MELS))
        self.shared = nn.Sequential(
            nn.Conv1d(N_MELS, dim, 5, 2, 2), nn.GELU(), nn.Conv1d(dim, dim, 3, 2, 1), nn.GELU(), nn.Flatten()
        )
        self.joined = nn.Sequential(nn.Linear(dim * -(-window // 4), dim), nn.LayerNorm(dim))

    def forward(self, windows: Tensor) -> Tensor:  # (B,T,W,80) -> (B,T,C)
        x = ((windows - self.mean) / self.std).flatten(0, 1).transpose(1, 2)
        return self.joined(self.shared(x)).unflatten(0, windows.shape[:2])


class _Recurrent(nn.Module):
    """The GRU row of Table 3: reads the tokens from the first (the intensity) to the last."""

    def __init__(self, dim: int, depth: int):
        super().__init__()
        self.gru = nn.GRU(dim, dim, depth, batch_first=True)

    def forward(self, tokens: Tensor) -> Tensor:  # (B,1+T,C) -> (B,1+T,C)
        return self.gru(tokens)[0]


class _Stacked(nn.Module):
    """The MLP row of Table 3: fully-connected layers on every frame by itself, joined with the intensity token."""

    def __init__(self, dim: int, depth: int, dropout: float):
        super().__init__()
        self.join = nn.Linear(2 * dim, dim)
        layers = [nn.Sequential(nn.LayerNorm(dim), _mlp(dim, 4 * dim, dim), Dropout(dropout)) for _ in range(depth)]
        self.layers = nn.ModuleList(layers)

    def forward(self, tokens: Tensor) -> Tensor:  # (B,1+T,C) -> (B,1+T,C)
        x = self.join(torch.cat([tokens, tokens[:, :1].expand_as(tokens)], -1))
        for layer in self.layers:
            x = x + layer(x)
        return x


class AudioEncoder(nn.Module):
    """AME's learned CLIP audio encoder (Sec. 3.2): a plain Transformer over the mel, pooled by a cls token."""

    PATCH = 4  # mel frames in a token: 40 ms

    def __init__(self, embedding_dim: int, dim: int, depth: int, heads: int, dropout: float):
        super().__init__()
        self.patch = nn.Linear(self.PATCH * N_MELS, dim)
        self.cls = nn.Parameter(torch.randn(1, 1, dim) * 0.02)
        self.encoder = _transformer(dim, depth, heads, dropout)
        self.head = nn.Linear(dim, embedding_dim)

    def forward(self, mel: Tensor) -> Tensor:
        """mel (B,F,80) -> e_audio (B,D), L2-normalised. F is at least 4 mel frames (40 ms)."""
        length = mel.shape[1] // self.PATCH
        patches = mel[:, : length * self.PATCH].reshape(len(mel), length, -1)
        tokens = torch.cat([self.cls.expand(len(mel), -1, -1), self.patch(patches)], 1)
        tokens = self.encoder(tokens + sinusoids(length + 1, tokens.shape[-1], mel.device))
        return F.normalize(self.head(tokens[:, 0]), dim=-1)


def _check_inputs(windows: Tensor, z_emo: Tensor, mu: Tensor, width: int, dim: int) -> None:
    """Raises ValueError that names what of :meth:`Eac.forward`'s inputs has a wrong shape."""
    if windows.ndim != 4 or tuple(windows.shape[2:]) != (width, N_MELS):
        raise ValueError(f"windows are {tuple(windows.shape)}; expected (B, T, {width}, {N_MELS}) mel windows")
    if z_emo.ndim != 2 or z_emo.shape[1] != dim:
        raise ValueError(f"z_emo is {tuple(z_emo.shape)}; expected (B, {dim}) emotion codes")
    if not len(windows) or len(z_emo) % len(windows):
        raise ValueError(f"{len(z_emo)} emotion codes for {len(windows)} clips; expected a multiple of the clips")
    if mu.shape != z_emo.shape[:1]:
        raise ValueError(f"mu is {tuple(mu.shape)}; expected ({len(z_emo)},), an intensity for each emotion code")


class Eac(nn.Module):
    """Eqs. 3 and 4. All arguments are kept in ``config`` and stored with the weights.

    variant: a key of :data:`VARIANTS`. embedding_dim: D of z_emo (the number of emotions for one-hot codes).
    window: W, mel frames about a video frame. frames: T of training, the length :func:`predict` works in.
    dim, depth, heads, dropout: of Phi. audio_depth: layers of the audio encoder (there: ``heads``, ``dropout``, ``dim``, too).
    """

    beta_mean: Tensor
    beta_std: Tensor
    emotion_mean: Tensor
    emotion_std: Tensor

    def __init__(
        self,
        *,
        variant: str = "full",
        embedding_dim: int = 384,
        window: int = 20,
        frames: int = 32,
        dim: int = 128,
        depth: int = 2,
        heads: int = 4,
        dropout: float = 0.1,
        audio_depth: int = 2,
    ):
        super().__init__()
        if variant not in VARIANTS:
            raise EmolibError(f"unknown EAC variant {variant!r}; expected one of {', '.join(VARIANTS)}")
        self.config = {k: v for k, v in locals().items() if k not in ("self", "__class__")}
        self.arch, self.encoding, _ = VARIANTS[variant]
        if self.encoding == "onehot":
            embedding_dim = self.config["embedding_dim"] = len(EMOTIONS)
        self.audio_mlp = _SoundMlp(window, dim)  # MLP(A)
        # Ours: the head of Eq. 4 also reads sigma_hat. Through attention alone, a short training leaves the intensity unheard.
        self.read = nn.Linear(dim, dim)
        self.emotion_mlp = _mlp(embedding_dim, 2 * dim, dim)  # MLP(z_emo)
        self.intensity = nn.Parameter(torch.randn(dim) * 0.5)  # sigma_base
        self.phi: nn.Module
        if self.arch == "transformer":
            self.phi = _transformer(dim, depth, heads, dropout)
        elif self.arch == "gru":
            self.phi = _Recurrent(dim, depth)
        else:
            self.phi = _Stacked(dim, depth, dropout)
        self.beta_mlp = _mlp(dim, 2 * dim, BETA)  # Eq. 4
        self.audio = AudioEncoder(embedding_dim, dim, audio_depth, heads, dropout) if self.encoding == "clip" else None
        # The network works in standardised units: it starts at the mean expression of the corpus.
        self.register_buffer("beta_mean", torch.zeros(BETA))
        self.register_buffer("beta_std", torch.ones(BETA))
        self.register_buffer("emotion_mean", torch.zeros(embedding_dim))
        self.register_buffer("emotion_std", torch.ones(()))

    def standardise(self, betas: Tensor, embeddings: Tensor, mel: Tensor) -> "Eac":
        """Sets the units of output, condition and sound from ``betas`` (N,64), ``embeddings`` (M,D), ``mel`` (F,80) of training.

        Sentence embeddings share a large common part; what tells emotions apart is what is left without it.
        """
        self.beta_mean.copy_(betas.mean(0))
        self.beta_std.copy_(betas.std(0).clamp(min=1e-3))
        self.audio_mlp.mean.copy_(mel.mean(0))
        self.audio_mlp.std.copy_(mel.std(0).clamp(min=1e-3))
        if self.encoding != "onehot":
            self.emotion_mean.copy_(embeddings.mean(0))
            self.emotion_std.copy_((embeddings - embeddings.mean(0)).pow(2).mean().sqrt().clamp(min=1e-4))
        return self

    def forward(self, windows: Tensor, z_emo: Tensor, mu: Tensor) -> tuple[Tensor, Tensor]:
        """(beta_hat (B,T,64), sigma_hat (B,C)) for mel windows (B,T,W,80), emotion codes (B,D) and intensities (B,).

        Windows that all M modalities of a clip share (Eq. 2) may be given once: with B/M rows each is taken M times in a row.
        """
        _check_inputs(windows, z_emo, mu, self.config["window"], len(self.emotion_mean))
        tokens = self.audio_mlp(windows).repeat_interleave(len(z_emo) // len(windows), 0)  # (B,T,C)
        tokens = torch.cat([(mu[:, None] * self.intensity)[:, None], tokens], 1)  # (B,1+T,C)
        emotion = self.emotion_mlp((z_emo - self.emotion_mean) / self.emotion_std)[:, None]
        tokens = self.phi(tokens + PE_SCALE * sinusoids(tokens.shape[1], tokens.shape[2], tokens.device) + emotion)
        return self.beta_mean + self.beta_std * self.beta_mlp(tokens[:, 1:] + self.read(tokens[:, :1])), tokens[:, 0]

    def embed_audio(self, mel: Tensor) -> Tensor:
        """e_audio (B,D) of a log-mel (B,F,80) of any length: the mean over stretches as long as those of training.

        Raises :class:`EmolibError` for a variant that has no audio condition, and for under 0.04 s of sound.
        """
        if self.audio is None:
            raise EmolibError(
                f"the EAC variant {self.config['variant']} takes no audio as emotion; give a text or use variant full"
            )
        if mel.shape[1] < AudioEncoder.PATCH:
            raise EmolibError(f"{mel.shape[1] / MEL_RATE} s of sound; expected 0.04 s or more, give a longer recording")
        span = max(self.config["frames"] * 4, AudioEncoder.PATCH)
        count = max(1, round(mel.shape[1] / span))
        edges = [mel.shape[1] * i // count for i in range(count + 1)]
        parts = [self.audio(mel[:, a:b]) for a, b in itertools.pairwise(edges)]
        return F.normalize(torch.stack(parts).mean(0), dim=-1)

    def save(self, path: str | Path) -> Path:
        return save_weights(path, self, self.config)

    @classmethod
    def load(cls, path: str | Path) -> "Eac":
        state, config = load_weights(path)
        try:
            model = cls(**config)
        except TypeError:
            raise EmolibError(f"the weights {path} are not an EAC's; expected an eac.safetensors") from None
        return load_into(model, state, path)


# What a text that names a class contains, in the order of EMOTIONS.
_STEMS = ("neutral", "angr", "contempt", "disgust", "fear", "happ", "sad", "surpris")


def emotion_code(eac: Eac, ame, words: str) -> Tensor:
    """Emotion code (D,) of ``words`` ("sad", "sadly surprised", "hatred") in ``eac``'s encoding of emotions.

    clip, lm: the text embedding by ``ame`` (:class:`emolib.ame.Ame`). onehot: the class's code; the mean code where several
    are named; zeros, the code of no class, for anything else, since one-hot codes have no way to say it (Fig. 10).
    """
    if eac.encoding == "onehot":
        row = torch.tensor([float(stem in words.lower()) for stem in _STEMS])
        return row / row.sum().clamp(min=1)
    return ame.text([words])[0].float()


def mix(embeddings: Tensor, weights: Sequence[float] | None = None) -> Tensor:
    """One unit code (D,) between ``embeddings`` (K,D): their mean (Fig. 5, row 5), weighted if ``weights`` (K,) are given."""
    share = torch.ones(len(embeddings)) if weights is None else torch.as_tensor(weights, dtype=torch.float32)
    return F.normalize((embeddings * share.to(embeddings)[:, None]).sum(0), dim=0)


class Windows:
    """Mel windows (n_frames, W, 80) made slice by slice from a log-mel (F,80), so that long speech needs no more memory."""

    def __init__(self, mel: np.ndarray, n_frames: int, fps: Fraction | float, width: int):
        self.mel, self.n_frames, self.fps, self.width = mel, n_frames, fps, width

    def __len__(self) -> int:
        return self.n_frames

    def __getitem__(self, frames: slice) -> np.ndarray:
        start, stop, _ = frames.indices(self.n_frames)
        return mel_windows(self.mel, stop - start, self.fps, self.width, start)


def _styled(eac: Eac, windows: Tensor, z_emo: Tensor, mu: Tensor) -> tuple[Tensor, Tensor]:
    """(beta (T,64), sigma (T,C)) of one window (T,W,80) whose frames have their own codes (T,D), intensities (T,).

    Each style runs over the whole window, as in training, and every frame takes its own style's row.
    """
    styles, which = torch.unique(torch.cat([z_emo, mu[:, None]], 1), dim=0, return_inverse=True)
    beta, sigma = eac(windows[None], styles[:, :-1], styles[:, -1])
    return beta[which, torch.arange(len(windows), device=beta.device)], sigma[which]


@torch.no_grad()
def predict_chunks(
    eac: Eac, windows, z_emo: Tensor, mu: float | Tensor, *, window: int | None = None, overlap: int = 8
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yields (beta (n,64), sigma (n,C)), in order, for speech of any length; what it holds is bounded by one window.

    windows: mel windows (N,W,80) of the video frames, or :class:`Windows`. z_emo: (D,) or a
    timeline (N,D). mu: a number or (N,). window: frames a pass, T of training by default; successive passes are blended
    linearly over ``overlap`` frames. Raises :class:`EmolibError` for an intensity outside 1 to 3 and for wrong windows.
    """
    count = len(windows)
    device = eac.beta_mean.device
    mu = torch.as_tensor(mu, dtype=torch.float32, device=device).expand(count)
    z_emo = torch.as_tensor(z_emo, dtype=torch.float32, device=device).expand(count, -1)
    if count == 0 or tuple(windows[:1].shape[1:]) != (eac.config["window"], N_MELS):
        found = tuple(windows[:1].shape[1:]) if count else "none"
        raise EmolibError(f"mel windows are {found}; expected {eac.config['window']} x {N_MELS} for each frame")
    if mu.min() < 1 or mu.max() > 3:
        raise EmolibError(f"intensity {float(mu.min()):g} to {float(mu.max()):g}; expected values from 1 to 3")
    length = min(window or eac.config["frames"], count)
    blend = min(overlap, length // 2)
    ramp = (torch.arange(blend, device=device) + 1.0)[:, None] / (blend + 1)
    end, held = 0, None
    while end < count:
        # The last pass starts early enough to be whole; what earlier passes have given already is dropped.
        start = min(end - blend, count - length) if end else 0
        part = torch.as_tensor(np.asarray(windows[start : start + length]), dtype=torch.float32, device=device)
        pair = _styled(eac, part, z_emo[start : start + length], mu[start : start + length])
        if held:
            beta, sigma = (
                torch.cat([h + ramp * (x[end - blend - start :][:blend] - h), x[end - start :]])
                for h, x in zip(held, pair)
            )
            pair = beta, sigma
        end = start + length
        keep = len(pair[0]) - (blend if end < count else 0)
        held = [x[keep:] for x in pair]
        yield pair[0][:keep], pair[1][:keep]


def predict(eac: Eac, windows, z_emo: Tensor, mu: float | Tensor, **options) -> tuple[Tensor, Tensor]:
    """(beta (N,64), sigma (N,C)) of the whole of :func:`predict_chunks`, whose arguments it takes."""
    betas, sigmas = zip(*predict_chunks(eac, windows, z_emo, mu, **options))
    return torch.cat(betas), torch.cat(sigmas)
