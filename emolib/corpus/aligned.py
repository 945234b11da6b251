"""Real recordings whose words are known: when each phone is said (pocketsphinx, CMU's English model), and what lips do that say them.

RAVDESS's voices say two sentences, so lips that a net makes of real, emotional speech can be held against a truth: the visemes of the
phones, as the synthetic people say them. Needs the package pocketsphinx.
"""

import functools
import importlib.util
import re
from pathlib import Path

import numpy as np

from emolib.corpus.ravdess import STATEMENT, parse
from emolib.emotions import EMOTIONS
from emolib.errors import EmolibError
from emolib.face.model import FaceModel
from emolib.media.audio import SAMPLE_RATE, load_audio
from emolib.speech.features import speech_features
from synthface.acting import moments
from synthface.expressions import Style, performance
from synthface.speech import Speech

# The phones of CMU's dictionary as espeak's mnemonics, of which :class:`Speech` knows the visemes.
PHONES = {
    "AA": "A:", "AE": "a", "AH": "@", "AO": "O:", "AW": "aU", "AY": "aI", "B": "b", "CH": "tS", "D": "d", "DH": "D", "EH": "E", "ER": "3:",
    "EY": "eI", "F": "f", "G": "g", "HH": "h", "IH": "I", "IY": "i:", "JH": "dZ", "K": "k", "L": "l", "M": "m", "N": "n", "NG": "N",
    "OW": "oU", "OY": "OI", "P": "p", "R": "r", "S": "s", "SH": "S", "T": "t", "TH": "T", "UH": "U", "UW": "u:", "V": "v", "W": "w",
    "Y": "j", "Z": "z", "ZH": "Z",
}  # fmt: skip
FPS, _TICKS = 25, 100  # pocketsphinx counts hundredths of a second


def available() -> bool:
    """Whether pocketsphinx is installed."""
    return importlib.util.find_spec("pocketsphinx") is not None


@functools.cache
def _decoder():
    if not available():
        raise EmolibError(
            "pocketsphinx is not installed, which finds phones in real speech; run pip install pocketsphinx"
        )
    from pocketsphinx import Decoder

    return Decoder(samprate=SAMPLE_RATE, loglevel="FATAL")


def aligned(audio: np.ndarray, text: str) -> list[tuple[str, float, float]] | None:
    """(phone, start s, end s), espeak's mnemonics and "_" for silence, of ``audio`` (n,) at 16 kHz in which ``text`` is said; None where
    the words are not found in it."""
    decoder = _decoder()
    loud = audio / max(float(np.abs(audio).max()), 1e-6)
    samples = (0.9 * 32767 * loud).astype(np.int16).tobytes()

    def hear() -> None:
        decoder.start_utt()
        decoder.process_raw(samples, full_utt=True)
        decoder.end_utt()

    try:
        decoder.set_align_text(" ".join(re.findall(r"[a-z']+", text.lower())))
        hear()
        decoder.set_alignment()
        hear()
    except RuntimeError:
        return None
    if (found := decoder.get_alignment()) is None:
        return None
    phones = [phone for word in found for phone in word]
    return [(PHONES.get(p.name, "_"), p.start / _TICKS, (p.start + p.duration) / _TICKS) for p in phones]


def real_clips(folder: str | Path, model: FaceModel, actors: range = range(1, 25), every: int = 1) -> list[dict]:
    """Every ``every``-th utterance of RAVDESS's ``actors`` as a clip of :class:`emolib.train.acted.Acted`, of an average neutral head that
    says it: alpha, heard, beta (T, 64), moments, emotion, level, spoken, person; and statement, 1 or 2.

    Those whose words are not found are left out. Raises :class:`EmolibError` if there is no speech of RAVDESS.
    """
    files = [(path, parse(path.stem)) for path in sorted(Path(folder).glob("Actor_*/*-*-*-*-*-*-*.*"))]
    spoken = [(path, fields) for path, fields in files if fields and fields[5] in actors][::every]
    if not spoken:
        raise EmolibError(f"no speech of RAVDESS in {folder}; expected Actor_01/03-01-01-01-01-01-01.wav and so on")
    found, style = [], Style.sample(np.random.default_rng(0))
    for path, (_, emotion, level, statement, _, actor) in spoken:
        audio = load_audio(path)
        audio = audio[: len(audio) // 640 * 640]
        if (phones := aligned(audio, STATEMENT[statement])) is None:
            continue
        said, frames = Speech(audio, phones, STATEMENT[statement]), len(audio) // 640
        arkit, _ = performance("neutral", 1, said.visemes, frames, float(FPS), style, np.random.default_rng(0))
        clip = {
            "alpha": np.zeros(80, np.float32),
            "beta": arkit @ model.arkit_to_beta.numpy(),
            "moments": moments(said, frames),
        }
        clip |= {"heard": speech_features(audio).astype(np.float16), "emotion": EMOTIONS.index(emotion), "level": level}
        found.append(clip | {"spoken": True, "person": actor, "statement": statement})
    return found
