"""Text as phones of the International Phonetic Alphabet, as the natural voices of :mod:`synthface.natural` take them.

espeak-ng says how words are pronounced; a few of its signs are replaced as kokoro-js does (its ``phonemize``), since that is what the
voices were made to be used with. Numbers are those of Kokoro-82M's own table of signs.
"""

import functools
import re

from emolib.errors import EmolibError
from synthface import espeak

PUNCTUATION = ';:,.!?—…"“” '
STRESS, LONG = "ˈˌ", "ː"
# Sign -> its number in the voices' table (Kokoro-82M, config.json).
VOCABULARY = dict(zip(PUNCTUATION, (1, 2, 3, 4, 5, 6, 9, 10, 11, 14, 15, 16))) | {
    **{letter: 43 + k for k, letter in enumerate("abcdefghijklmnopqrstuvwxyz") if letter != "g"},
    **{"ɑ": 69, "ɐ": 70, "ɒ": 71, "æ": 72, "β": 75, "ɔ": 76, "ɕ": 77, "ç": 78, "ɖ": 80, "ð": 81, "ʤ": 82, "ə": 83, "ɚ": 85},
    **{"ɛ": 86, "ɜ": 87, "ɟ": 90, "ɡ": 92, "ɥ": 99, "ɨ": 101, "ɪ": 102, "ʝ": 103, "ɯ": 110, "ɰ": 111, "ŋ": 112, "ɳ": 113},
    **{"ɲ": 114, "ɴ": 115, "ø": 116, "ɸ": 118, "θ": 119, "œ": 120, "ɹ": 123, "ɾ": 125, "ɻ": 126, "ʁ": 128, "ɽ": 129, "ʂ": 130},
    **{"ʃ": 131, "ʈ": 132, "ʧ": 133, "ʊ": 135, "ʋ": 136, "ʌ": 138, "ɣ": 139, "ɤ": 140, "χ": 142, "ʎ": 143, "ʒ": 147, "ʔ": 148},
    **{"ˈ": 156, "ˌ": 157, "ː": 158, "ʰ": 162, "ʲ": 164, "ᵻ": 177, "\u0303": 17},
}  # fmt: skip
# Sign -> viseme class, as of synthface.speech.PHONEME_CLASS.
_CLASSES = {
    "sil": PUNCTUATION, "PP": "pbm", "FF": "fv", "TH": "θð", "DD": "tdɾ", "kk": "kɡŋhxʔɣ", "CH": "ʃʒʧʤ", "SS": "sz", "nn": "nl",
    "RR": "ɹɚɜr", "aa": "aɑɒʌæ", "E": "ɛeəɐ", "ih": "ɪijᵻɨ", "oh": "ɔo", "ou": "uʊw",
}  # fmt: skip
IPA_CLASS = {sign: group for group, signs in _CLASSES.items() for sign in signs}
_REPLACED = (("r", "ɹ"), ("x", "k"), ("ɬ", "l"), ("ʲ", "j"), ("ɫ", "l"), ("ɝ", "ɜ"))
_MARKS = "\u0329\u0361\u200d"  # a syllabic consonant, a tie, a joiner: marks on a phone, no phones


_pronounced = functools.cache(espeak.ipa)


def phones(text: str, accent: str = "en-us") -> str:
    """``text`` in signs of :data:`VOCABULARY`: "Stop it, now." -> "stˈɑːp ɪt, nˈaʊ.". Punctuation is kept.

    Raises :class:`EmolibError` for a text with nothing to say, or a sign that the voices do not know.
    """
    pieces = re.split(r"\s*([;:,.!?—…]+)\s*", text)
    said = "".join(
        (_pronounced(p, accent) if k % 2 == 0 else p[0] + " ") for k, p in enumerate(pieces) if p.strip()
    ).strip()
    for old, new in _REPLACED:
        said = said.replace(old, new)
    said = "".join(sign for sign in said if sign not in _MARKS)
    if accent == "en-us":
        said = re.sub("(?<=nˈaɪn)ti(?!ː)", "di", said)
    if strange := sorted(set(said) - set(VOCABULARY)):
        raise EmolibError(
            f"the text {text!r} is pronounced with {strange[0]!r}, which the natural voices do not know; use English"
        )
    if not any(IPA_CLASS.get(sign, "sil") != "sil" for sign in said):
        raise EmolibError(f"the text {text!r} holds nothing that can be spoken; give words")
    return said
