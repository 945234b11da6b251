"""Text prompts that say a clip's emotion, as Sec. 3.2 feeds to the text tower.

A prompt is a template of ``data.templates`` (with a slot ``{}``) filled with an adjective of the class and, sometimes, a
word for its strength. Many wordings per class, because a text tower that sees one template learns the template: at test
time the embeddings of :func:`prompts` are averaged. The words of the compound and new emotions (hatred, awe ...) are
kept out, so that those stay unseen.
"""

from collections.abc import Sequence

import numpy as np

from emolib.errors import EmolibError
from emolib.params import EMOTIONS, Data

WORDS = {
    "neutral": ("neutral", "calm", "expressionless", "relaxed", "emotionless"),
    "angry": ("angry", "furious", "mad", "enraged", "irritated"),
    "contempt": ("contemptuous", "scornful", "disdainful", "smug", "sneering"),
    "disgusted": ("disgusted", "repulsed", "revolted", "sickened", "nauseated"),
    "fear": ("fearful", "afraid", "scared", "frightened", "terrified"),
    "happy": ("happy", "joyful", "cheerful", "delighted", "smiling"),
    "sad": ("sad", "unhappy", "sorrowful", "gloomy", "depressed"),
    "surprised": ("surprised", "astonished", "amazed", "startled", "stunned"),
}
STRENGTH = {1: ("slightly", "a little", "mildly"), 2: ("", "quite", "clearly"), 3: ("very", "extremely", "intensely")}
TEMPLATES = Data().templates


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
    """One random wording of ``emotion``; with an ``intensity`` (1..3), two times in three with a word for it.

    Raises :class:`EmolibError` for an unknown emotion or a template without its one slot.
    """
    _check(emotion, templates)
    word = str(rng.choice(WORDS[emotion]))
    if intensity is not None and emotion != "neutral" and rng.random() < 2 / 3:
        word = f"{rng.choice(STRENGTH[intensity])} {word}".strip()
    return fill(str(rng.choice(list(templates))), word)


def prompts(emotion: str, templates: Sequence[str] = TEMPLATES) -> list[str]:
    """Every template with every adjective of ``emotion``, in a fixed order: embed them all and average (test time)."""
    _check(emotion, templates)
    return [fill(template, word) for word in WORDS[emotion] for template in templates]


def free_prompts(words: str, templates: Sequence[str] = TEMPLATES) -> list[str]:
    """Every template with what a user typed ("sadly surprised", "hatred")."""
    _check("neutral", templates)
    return [fill(template, words) for template in templates]
