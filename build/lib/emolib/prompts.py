"""Text prompts that say a clip's emotion, as Sec. 3.2 feeds to the text tower.

A prompt is a template of ``data.templates`` (with a slot ``{}``) filled with an adjective of the class and, sometimes, a
word for its strength; or it names the emotion by a noun ("a look of deep sorrow"). Many wordings per class, because a text tower
that sees one learns that one: at test time the embeddings of :func:`prompts` are averaged. The words of the compound and new
emotions (hatred, awe, "sadly surprised" ...) are kept out, so that those stay unseen.
"""

from collections.abc import Sequence

import numpy as np

from emolib.emotions import EMOTIONS
from emolib.errors import EmolibError

# Every class has as many: the means over the wordings of a class weigh alike, and arrays of them are rectangular.
WORDS = {
    "neutral": ("neutral", "calm", "expressionless", "relaxed", "emotionless", "blank", "impassive", "composed"),
    "angry": ("angry", "furious", "mad", "enraged", "irritated", "annoyed", "outraged", "irate"),
    "contempt": (
        "contemptuous", "scornful", "disdainful", "smug", "sneering", "condescending", "derisive", "dismissive",
    ),
    "disgusted": ("disgusted", "repulsed", "revolted", "sickened", "nauseated", "repelled", "queasy", "grossed out"),
    "fear": ("fearful", "afraid", "scared", "frightened", "terrified", "panicked", "anxious", "alarmed"),
    "happy": ("happy", "joyful", "cheerful", "delighted", "smiling", "glad", "merry", "pleased"),
    "sad": ("sad", "unhappy", "sorrowful", "gloomy", "depressed", "miserable", "mournful", "downcast"),
    "surprised": (
        "surprised", "astonished", "amazed", "startled", "stunned", "astounded", "dumbfounded", "flabbergasted",
    ),
}  # fmt: skip
NOUNS = {
    "neutral": ("calm", "composure"), "angry": ("anger", "rage"), "contempt": ("contempt", "scorn"),
    "disgusted": ("disgust", "revulsion"), "fear": ("fear", "fright"), "happy": ("happiness", "joy"),
    "sad": ("sadness", "sorrow"), "surprised": ("surprise", "astonishment"),
}  # fmt: skip
STRENGTH = {
    1: ("slightly", "a little", "mildly", "somewhat", "faintly"),
    2: ("", "quite", "clearly", "noticeably", "moderately"),
    3: ("very", "extremely", "intensely", "utterly", "deeply"),
}
AMOUNT = {1: ("slight", "mild", "faint"), 2: ("", "clear", "moderate"), 3: ("great", "extreme", "deep")}
NOUN_TEMPLATES = ("a look of {}", "a face that shows {}", "a person who feels {}", "{} is written on the face")
TEMPLATES = (
    "a {} face",
    "a {} person",
    "a photo of a {} face",
    "a person looking {}",
    "someone who feels {}",
    "a {} expression",
    "the face of a person who is {}",
    "this person is {}",
)


def _check(emotion: str, templates: Sequence[str]) -> None:
    if emotion not in WORDS:
        raise EmolibError(f"emotion is {emotion!r}; expected one of {', '.join(EMOTIONS)}")
    for template in templates:
        if template.count("{}") != 1:
            raise EmolibError(f"prompt template {template!r} has {template.count('{}')} slots; expected one {{}}")


def fill(template: str, words: str) -> str:
    """``fill("a {} face", "angry")`` -> "an angry face"."""
    before, after = template.split("{}")
    if before.endswith("a ") and words.startswith("a "):
        words = words.removeprefix("a ")
    elif before.endswith("a ") and words[0] in "aeiou":
        before = before[:-1] + "n "
    return before + words + after


def sample_prompt(
    rng: np.random.Generator, emotion: str, intensity: int | None = None, templates: Sequence[str] = TEMPLATES
) -> str:
    """One random wording of ``emotion``, one in four with a noun; with an ``intensity`` (1..3), two times in three with a word for it.

    Raises :class:`EmolibError` for an unknown emotion or intensity, or a template without its one slot.
    """
    _check(emotion, templates)
    if intensity is not None and intensity not in STRENGTH:
        raise EmolibError(f"intensity is {intensity!r}; expected one of {', '.join(map(str, STRENGTH))}")
    noun = rng.random() < 1 / 4
    words, strengths, frames = (NOUNS, AMOUNT, NOUN_TEMPLATES) if noun else (WORDS, STRENGTH, templates)
    word = str(rng.choice(words[emotion]))
    if intensity is not None and emotion != "neutral" and rng.random() < 2 / 3:
        word = f"{rng.choice(strengths[intensity])} {word}".strip()
    return fill(str(rng.choice(list(frames))), word)


def prompts(emotion: str, templates: Sequence[str] = TEMPLATES) -> list[str]:
    """Every template with every adjective of ``emotion``, in a fixed order: embed them all and average (test time)."""
    _check(emotion, templates)
    return [fill(template, word) for word in WORDS[emotion] for template in templates]


def free_prompts(words: str, templates: Sequence[str] = TEMPLATES) -> list[str]:
    """Every template with what a user typed ("sadly surprised", "hatred")."""
    _check("neutral", templates)
    return [fill(template, words) for template in templates]
