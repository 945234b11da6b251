"""What a user calls an emotion: words of fourteen languages, emoji, phrases; and what is no emotion, or says what it is not.

:func:`understand` needs no weights. A text that it knows as the prompts' own English goes to the text tower as it is. One that it knows
from :mod:`emolib.lexicon` goes as the English of its class, with a note. One that it does not know is left to the text tower, which
:meth:`emolib.ame.Ame.place` asks how near it is to any emotion.
"""

import functools
import re
import unicodedata
from dataclasses import dataclass

from emolib import lexicon
from emolib.errors import EmolibError
from emolib.prompts import NOUNS, WORDS

LONGEST = 300  # characters
UNDERSTOOD = "English words such as happy, furious or 'sadly surprised', one emotion in 13 other languages, or an emoji"
_INVISIBLE = re.compile("[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufe00-\ufe0f\ufeff]|[\U0001f3fb-\U0001f3ff]")
_PLAIN = {"ı": "i", "ł": "l", "ø": "o", "\u0307": ""}  # what Unicode does not take apart
_LATIN = re.compile(r"[a-z']+")


@dataclass(frozen=True)
class Understood:
    """text: what goes to the text tower. note: what a user should know, or "". known: whether it surely is an emotion."""

    text: str
    note: str = ""
    known: bool = True


def normal(text: str) -> str:
    """Lower case, without accents on Latin letters, invisible characters and punctuation; one space between words."""
    text = _INVISIBLE.sub("", unicodedata.normalize("NFKC", text)).casefold().replace("’", "'").replace("œ", "oe")
    text = "".join(c if not _is_accented_latin(c) else unicodedata.normalize("NFD", c)[0] for c in text)
    for letter, plain in _PLAIN.items():
        text = text.replace(letter, plain)
    text = re.sub(r"(?<!\w)'|'(?!\w)", " ", text)  # quotes, not apostrophes
    return " ".join(
        "".join(
            c if c.isalnum() or c in "' -" or unicodedata.category(c) in ("Mn", "Mc", "So") else " " for c in text
        ).split()
    )


def _is_accented_latin(character: str) -> bool:
    return (
        ord(character) > 127
        and unicodedata.name(character, "").startswith("LATIN")
        and unicodedata.decomposition(character) != ""
    )


def _listed(line: str) -> list[str]:
    return [normal(word) for word in re.split("[,;]", line) if word.strip()]


@functools.cache
def _tables() -> tuple[dict[str, str], dict[str, str], dict[str, str]]:
    """Word -> class: (English that the prompts use, all that is written in Latin letters, other scripts)."""
    own = {normal(w): emotion for table in (WORDS, NOUNS) for emotion, words in table.items() for w in words}
    own |= {emotion: emotion for emotion in WORDS}
    latin: dict[str, str] = {}
    for table in (lexicon.LATIN, lexicon.ENGLISH):
        latin |= {word: emotion for emotion, line in table.items() for word in _listed(line)}
    other = {word: emotion for emotion, line in lexicon.OTHER.items() for word in _listed(line)}
    other |= {sign: emotion for emotion, signs in lexicon.EMOJI.items() for sign in signs}
    return own, latin | own, other


@functools.cache
def _sets() -> tuple[frozenset[str], frozenset[str], frozenset[str]]:
    return tuple(frozenset(_listed(line)) for line in (lexicon.SOFTENERS, lexicon.FILLERS, lexicon.NEGATIONS))  # type: ignore[return-value]


def understand(text: str) -> Understood:
    """What ``text`` asks for. Raises :class:`EmolibError` if it is empty, too long, says what an emotion is not, or is in no script that
    is known here."""
    if not isinstance(text, str) or not (plain := normal(text)):
        raise EmolibError(f"no emotion given: {_shown(text)} holds no words; give {UNDERSTOOD}")
    if len(text) > LONGEST:
        raise EmolibError(f"the emotion has {len(text)} characters; expected at most {LONGEST}, a few words say it")
    own, latin, other = _tables()
    if plain in own:
        return Understood(_own(text, plain))
    classes, rest = _signs(plain, other)
    words, left = _words(rest, latin)
    if any(word in _sets()[2] for word in left) or (
        any(sign in rest for sign in lexicon.NEGATING_SIGNS.split()) and classes
    ):
        raise EmolibError(f"the emotion {_shown(text)} says what it is not; say what it is, e.g. calm or sad")
    found = list(dict.fromkeys(classes + [latin[word] for word in words]))
    strange = [word for word in left if word not in _sets()[0] | _sets()[1]]
    if any(not _LATIN.fullmatch(word.replace("-", "")) for word in strange) and not found:
        raise EmolibError(f"the emotion {_shown(text)} is not understood; give {UNDERSTOOD}")
    if words and not classes and all(word in own for word in words):
        return Understood(_own(text, plain))
    if not found or (strange and not classes):
        return Understood(plain, known=False)
    said = " and ".join(WORDS[emotion][0] for emotion in found[:2])
    return Understood(said, f"the emotion {_shown(text)} is taken as {said}")


def _own(text: str, plain: str) -> str:
    """The user's own words for the text tower, which is used to English: as they are if they are ASCII."""
    return " ".join(text.split()) if text.isascii() else plain


def _signs(plain: str, table: dict[str, str]) -> tuple[list[str], str]:
    """(classes of the words of other scripts and emoji in a text, what is left of it), the longest words first."""
    places, rest = [], plain
    for word in sorted(table, key=len, reverse=True):
        while (at := rest.find(word)) >= 0:
            places.append((at, table[word]))
            rest = rest[:at] + "\0" * len(word) + rest[at + len(word) :]
    return [emotion for _, emotion in sorted(places)], rest.replace("\0", "")


def _words(rest: str, table: dict[str, str]) -> tuple[list[str], list[str]]:
    """(words and phrases of ``table`` in a text, the words left over), the longest phrases first. Softeners are left over too."""
    words, found, left, at = rest.split(), [], [], 0
    while at < len(words):
        for length in range(min(5, len(words) - at), 0, -1):
            phrase = " ".join(words[at : at + length])
            if phrase in table:
                found.append(phrase)
                at += length
                break
            if phrase in _sets()[0] and length > 1:
                at += length
                break
        else:
            left.append(words[at])
            at += 1
    return found, left


def _shown(text: object) -> str:
    shown = repr(text)
    return shown if len(shown) <= 60 else f"{shown[:50]}...{shown[-1]}"
