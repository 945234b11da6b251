"""The Emotion-aware Audio-to-3DMM Convertor and AME's learned audio encoder (Xu et al. 2023, Sec. 3.2, 3.3, Eqs. 2-4).

    A (B,T,W,C_A) --MLP--> [sigma = mu sigma_base, tokens] + PE + MLP(z_emo) --Phi--> sigma_hat (B,C), beta_hat (B,T,64)

``A`` holds, for each video frame, what is heard about it: W mel frames of 80 bands, 100 a second (the paper), or half as many of Whisper's
features (ours, :mod:`emolib.speech.ears`). ``z_emo`` is a text, image or audio embedding of one space (Eq. 2); ``mu`` is the intensity,
1 to 3. Ours: how a person expresses, which neither says, may be told by ``style``, numbers of a standard normal distribution of which
zeros are the average person; otherwise the net can only learn the average. The rows of Table 3 are :data:`VARIANTS`: other
encodings of the emotion, other networks for Phi, and the same network trained without L_emo.
Training is in :mod:`emolib.train.eac`.
"""

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from emolib.emotions import EMOTIONS
from emolib.errors import EmolibError
from emolib.hearing import AudioEncoder, SoundMlp, heard_size, sinusoids, transformer
from emolib.layers import Dropout
from emolib.speech.ears import EARS
from emolib.weights import load_into, load_weights, save_weights

BETA = 64


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


def _mlp(inside: int, hidden: int, outside: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inside, hidden), nn.GELU(), nn.Linear(hidden, outside))


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


def _check_inputs(windows: Tensor, z_emo: Tensor, mu: Tensor, style: Tensor | None, eac: "Eac") -> None:
    """Raises ValueError that names what of :meth:`Eac.forward`'s inputs has a wrong shape."""
    size, dim, styles = eac.heard, len(eac.emotion_mean), eac.config["style"]
    stretch = windows.ndim == 3 and eac.config["audio"] != "mel" and windows.shape[1] >= size[0]
    if windows.shape[-1] != size[1] or not (stretch or (windows.ndim == 4 and windows.shape[2] == size[0])):
        raise ValueError(f"windows are {tuple(windows.shape)}; expected (B, T, {size[0]}, {size[1]}) windows of sound")
    if z_emo.ndim != 2 or z_emo.shape[1] != dim:
        raise ValueError(f"z_emo is {tuple(z_emo.shape)}; expected (B, {dim}) emotion codes")
    if not len(windows) or len(z_emo) % len(windows):
        raise ValueError(f"{len(z_emo)} emotion codes for {len(windows)} clips; expected a multiple of the clips")
    if style is not None and style.shape != (len(z_emo), styles):
        raise ValueError(f"style is {tuple(style.shape)}; expected ({len(z_emo)}, {styles})")
    if mu.shape != z_emo.shape[:1]:
        raise ValueError(f"mu is {tuple(mu.shape)}; expected ({len(z_emo)},), an intensity for each emotion code")


class Eac(nn.Module):
    """Eqs. 3 and 4. All arguments are kept in ``config`` and stored with the weights.

    variant: a key of :data:`VARIANTS`. embedding_dim: D of z_emo (the number of emotions for one-hot codes).
    audio: what hears, a key of :data:`emolib.speech.ears.EARS`. window: 1/100 s heard about a video frame.
    frames: T of training, the length :func:`predict` works in.
    dim, depth, heads, dropout: of Phi. audio_depth: layers of the audio encoder (there: ``heads``, ``dropout``, ``dim``, too).
    style: numbers that say how a person expresses (0, the paper's: none do).
    reading: whether the head of Eq. 4 also reads sigma_hat (ours; the paper: False): through attention alone, a short training leaves the
    intensity unheard. pe_scale: of the positional encoding beside tokens of unit size (the paper: 1); a fifth lets what is heard weigh more
    than where it stands.
    """

    beta_mean: Tensor
    beta_std: Tensor
    emotion_mean: Tensor
    emotion_std: Tensor

    def __init__(
        self,
        *,
        variant: str = "full",
        audio: str = "mel",
        embedding_dim: int = 384,
        window: int = 20,
        frames: int = 32,
        dim: int = 128,
        depth: int = 2,
        heads: int = 4,
        dropout: float = 0.1,
        audio_depth: int = 2,
        style: int = 0,
        reading: bool = True,
        pe_scale: float = 0.2,
    ):
        super().__init__()
        if variant not in VARIANTS:
            raise EmolibError(f"unknown EAC variant {variant!r}; expected one of {', '.join(VARIANTS)}")
        if audio not in EARS:
            raise EmolibError(f"unknown ear {audio!r} of an EAC; expected one of {', '.join(EARS)}")
        self.config = {k: v for k, v in locals().items() if k not in ("self", "__class__")}
        self.heard = heard_size(audio, window)
        self.arch, self.encoding, _ = VARIANTS[variant]
        if self.encoding == "onehot":
            embedding_dim = self.config["embedding_dim"] = len(EMOTIONS)
        self.audio_mlp = SoundMlp(audio, window, dim, dropout)  # MLP(A)
        self.read = nn.Linear(dim, dim) if reading else None
        self.emotion_mlp = _mlp(embedding_dim, 2 * dim, dim)  # MLP(z_emo)
        self.intensity = nn.Parameter(torch.randn(dim) * 0.5)  # sigma_base
        self.phi: nn.Module
        if self.arch == "transformer":
            self.phi = transformer(dim, depth, heads, dropout)
        elif self.arch == "gru":
            self.phi = _Recurrent(dim, depth)
        else:
            self.phi = _Stacked(dim, depth, dropout)
        self.beta_mlp = _mlp(dim, 2 * dim, BETA)  # Eq. 4
        self.style_mlp = nn.Linear(style, dim) if style else None
        sizes = (embedding_dim, dim, audio_depth, heads, dropout)
        self.audio = AudioEncoder(audio, *sizes) if self.encoding == "clip" else None
        # The network works in standardised units: it starts at the mean expression of the corpus.
        self.register_buffer("beta_mean", torch.zeros(BETA))
        self.register_buffer("beta_std", torch.ones(BETA))
        self.register_buffer("emotion_mean", torch.zeros(embedding_dim))
        self.register_buffer("emotion_std", torch.ones(()))

    def standardise(self, betas: Tensor, embeddings: Tensor, heard: Tensor) -> "Eac":
        """Sets the units of output, condition and sound from ``betas`` (N,64), ``embeddings`` (M,D), ``heard`` (F,C_A) of training.

        Sentence embeddings share a large common part; what tells emotions apart is what is left without it.
        """
        self.beta_mean.copy_(betas.mean(0))
        self.beta_std.copy_(betas.std(0).clamp(min=1e-3))
        self.audio_mlp.mean.copy_(heard.mean(0))
        self.audio_mlp.std.copy_(heard.std(0).clamp(min=1e-3))
        if self.encoding != "onehot":
            self.emotion_mean.copy_(embeddings.mean(0))
            self.emotion_std.copy_((embeddings - embeddings.mean(0)).pow(2).mean().sqrt().clamp(min=1e-4))
        return self

    def forward(self, windows: Tensor, z_emo: Tensor, mu: Tensor, style: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """(beta_hat (B,T,64), sigma_hat (B,C)) for windows of sound (B,T,W,C_A), emotion codes (B,D), intensities (B,) and styles (B,S),
        by default the average one. Of 25 frames a second the stretch may be given that the windows are cut from, see
        :meth:`emolib.hearing.Windows.stretch`.

        Windows that all M modalities of a clip share (Eq. 2) may be given once: with B/M rows each is taken M times in a row.
        """
        _check_inputs(windows, z_emo, mu, style, self)
        tokens = self.audio_mlp(windows).repeat_interleave(len(z_emo) // len(windows), 0)  # (B,T,C)
        tokens = torch.cat([(mu[:, None] * self.intensity)[:, None], tokens], 1)  # (B,1+T,C)
        emotion = self.emotion_mlp((z_emo - self.emotion_mean) / self.emotion_std)[:, None]
        if self.style_mlp is not None:
            emotion = (
                emotion
                + self.style_mlp(z_emo.new_zeros(len(z_emo), self.config["style"]) if style is None else style)[:, None]
            )
        places = self.config["pe_scale"] * sinusoids(tokens.shape[1], tokens.shape[2], tokens.device)
        tokens = self.phi(tokens + places + emotion)
        read = tokens[:, 1:] if self.read is None else tokens[:, 1:] + self.read(tokens[:, :1])
        return self.beta_mean + self.beta_std * self.beta_mlp(read), tokens[:, 0]

    def embed_audio(self, heard) -> Tensor:
        """e_audio (B,D) of features (B,F,C_A) of any length: the mean over stretches as long as those of training.

        heard: a Tensor, or what has a length and gives the rows (n,C_A) of an array of numbers (:class:`emolib.speech.ears.Passing`), of
        one sound, of which no more than a stretch is kept.
        Raises :class:`EmolibError` for a variant that has no audio condition, and for under 0.04 s of sound.
        """
        if self.audio is None:
            raise EmolibError(
                f"the EAC variant {self.config['variant']} takes no audio as emotion; give a text or use variant full"
            )
        several = isinstance(heard, Tensor)
        length, rate = heard.shape[1] if several else len(heard), EARS[self.config["audio"]].rate
        if length < self.audio.length:
            raise EmolibError(f"{length / rate} s of sound; expected 0.04 s or more, give a longer recording")
        count = max(1, round(length / (self.config["frames"] * self.audio.length)))
        edges, total = [length * i // count for i in range(count + 1)], torch.zeros(())
        for a, b in itertools.pairwise(edges):
            part = heard[:, a:b] if several else torch.from_numpy(heard[np.arange(a, b)])[None].to(self.beta_mean)
            if self.config["audio"] != "mel":  # whose units are its own
                part = self.audio_mlp.standard(part)
            total = total.to(part) + self.audio(part)
        return F.normalize(total / count, dim=-1)

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


def mix(codes: Tensor, shares: Sequence[float] | Tensor | None = None) -> Tensor:
    """One unit code (D,) between ``codes`` (K,D): their mean (Fig. 5, row 5), weighted if ``shares`` (K,) are given; (N,D) for (N,K)."""
    weights = torch.ones(len(codes)) if shares is None else torch.as_tensor(shares, dtype=torch.float32)
    return F.normalize(weights.to(codes) @ codes, dim=-1)


def _told(eac: Eac, windows: Tensor, z_emo: Tensor, mu: Tensor, style: Tensor | None) -> tuple[Tensor, Tensor]:
    """(beta (T,64), sigma (T,C)) of one window (T,W,C_A) whose frames have their own codes (T,D), intensities (T,), in one style (S,).

    Each emotion runs over the whole window, as in training, and every frame takes its own emotion's row.
    """
    told, which = torch.unique(torch.cat([z_emo, mu[:, None]], 1), dim=0, return_inverse=True)
    styles = None if style is None else style.to(windows).expand(len(told), -1)
    beta, sigma = eac(windows[None], told[:, :-1], told[:, -1], styles)
    return beta[which, torch.arange(len(windows), device=beta.device)], sigma[which]


@torch.no_grad()
def predict_chunks(
    eac: Eac,
    windows,
    z_emo: Tensor,
    mu: float | Tensor,
    *,
    style: Tensor | None = None,
    window: int | None = None,
    overlap: int = 8,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yields (beta (n,64), sigma (n,C)), in order, for speech of any length; what it holds is bounded by one window.

    windows: windows of sound (N,W,C_A) about the video frames, or :class:`emolib.hearing.Windows`. z_emo: (D,) or a
    timeline (N,D). mu: a number or (N,). style: (S,).
    window: frames a pass, T of training by default; successive passes are blended
    linearly over ``overlap`` frames. Raises :class:`EmolibError` for an intensity outside 1 to 3 and for wrong windows.
    """
    count = len(windows)
    device = eac.beta_mean.device
    mu = torch.as_tensor(mu, dtype=torch.float32, device=device).expand(count)
    z_emo = torch.as_tensor(z_emo, dtype=torch.float32, device=device).expand(count, -1)
    if count == 0 or tuple(windows[:1].shape[1:]) != eac.heard:
        found = tuple(windows[:1].shape[1:]) if count else "none"
        raise EmolibError(f"windows of sound are {found}; expected {eac.heard[0]} x {eac.heard[1]} for each frame")
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
        pair = _told(eac, part, z_emo[start : start + length], mu[start : start + length], style)
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
