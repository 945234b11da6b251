"""Speech of the crowd of :mod:`synthface.crowd`: voices and sentences that are in no corpus, and mouths that say them.

What SyncNet learns from. Half of the clips have natural voices where the extra ``voices`` is installed.
"""

from dataclasses import replace

import numpy as np

from emolib.media.audio import SAMPLE_RATE
from synthface import natural
from synthface.expressions import EMOTIONS, performance
from synthface.photo import SUPERSAMPLE, Scene, photograph
from synthface.randomise import crop_jitter, degrade, randomised, randomised_scene
from synthface.room import recorded
from synthface.speech import ACCENTS, Speaker, Speech, expressive, prosody, spoken
from synthface.synth import FPS, Studio, named_rng

SECONDS = 2.0  # of a clip
CLIPS = 4  # of a person: every second one randomised
# Throats that speech.VOICES does not have, in all accents: of two accents alone SyncNet hears the others worse. Every fourth natural one.
ESPEAK = {
    sex: tuple(f"{accent}+{who}" for accent in (*ACCENTS, "en-gb-x-gbclan", "en-gb-x-gbcwmd") for who in people)
    for sex, people in (
        ("male", ("m8", "Andy", "Lee", "edward2", "max", "rob", "travis")),
        ("female", ("Annie", "belinda", "linda", "steph", "anika", "Alicia", "aunty")),
    )
}
NATURAL = natural.CROWD
_WHO = (
    "the captain|a quiet nurse|my uncle|the gardener|their lawyer|an old painter|the cook|a tall guard|her sister|the pilot|a poet|"
    "two students|the mayor|his grandmother|a plumber|the choir"
).split("|")
_DID = "opened|sold|carried|dropped|lifted|bought|cleaned|covered|passed|threw|watched|shared|filled|hid|weighed|saved".split(
    "|"
)
_WHAT = (
    "the green bottle|a silver spoon|five sharp pencils|the velvet curtain|a jug of milk|the office keys|some wild roses|"
    "a pair of gloves|the front gate|every cushion|an orange lamp|that thick rug|the morning post|a bowl of cherries|the chess board|"
    "your umbrella|a joyful song|the tool chest"
).split("|")
_WHERE = (
    "|at noon|behind the barn|on Wednesday|near the harbour|after supper|in the tower|beside the fountain|for the village|"
    "across the valley|in a hurry|through the fog"
).split("|")
# Words that nobody says. Of real sentences from small lists a net learns the words: AUC .97 on speakers, .89 on sentences that are new.
_ONSETS = (
    "b|bl|br|ch|d|dr|f|fl|fr|g|gl|gr|h|j|k|kl|kr|l|m|n|p|pl|pr|qu|r|s|sh|sk|sl|sm|sn|sp|st|str|sw|t|th|tr|tw|v|w|y|z"
).split("|")
_NUCLEI = "a|e|i|o|u|ai|ar|au|ay|ea|ee|er|igh|oa|oi|oo|or|ou|ow|oy".split("|")
_CODAS = "||b|d|f|g|ck|l|ll|m|mp|n|nd|ng|nk|nt|p|r|s|sh|st|t|th|v|x|z".split("|")


def invented(rng: np.random.Generator) -> str:
    """Two to four words of one or two syllables that are no words, and small ones between them."""
    words = []
    for _ in range(int(rng.integers(2, 5))):
        syllables = int(rng.integers(1, 3))
        words.append(str(rng.choice(("the", "a", "my", "to", "we", "with", "of", "her", "in", "and", "for", "is"))))
        words.append("".join(str(rng.choice(part)) for _ in range(syllables) for part in (_ONSETS, _NUCLEI, _CODAS)))
    text = " ".join(words[int(rng.integers(2)) :])
    return text[0].upper() + text[1:] + "."


def sentence(rng: np.random.Generator) -> str:
    """A sentence of 3 to 9 words that no corpus has."""
    if rng.random() < 0.75:
        return invented(rng)
    parts = [str(rng.choice(words)) for words in (_WHO, _DID, _WHAT, _WHERE)]
    text = " ".join(part for part in parts if part)
    return text[0].upper() + text[1:] + "."


def voice_of(number: int, sex: str, rng: np.random.Generator) -> str:
    """The voice of person ``number``: espeak's for every second one, else a natural one or the middle of two."""
    if number // 2 % 2 or not natural.available():
        return str(rng.choice(ESPEAK[sex]))
    return "+".join(dict.fromkeys(str(name) for name in rng.choice(NATURAL[sex], int(rng.integers(1, 3)))))


def say(text: str, speaker: Speaker, emotion: str, level: int, rng: np.random.Generator) -> Speech:
    """``text`` by ``speaker``, whose voice is any of :data:`ESPEAK` or :data:`NATURAL`, in their room, SECONDS long."""
    how = prosody(emotion, level, speaker, rng)
    said = spoken(text, speaker.voice, how)
    audio = np.zeros(round(SECONDS * SAMPLE_RATE), np.float32)
    first = (
        int(rng.uniform(0.02, 0.2) * SAMPLE_RATE)
        if said.seconds > SECONDS - 0.3
        else int(rng.uniform(0.1, 0.9) * (len(audio) - len(said.audio)))
    )
    kept = expressive(said.audio, how, rng)[: len(audio) - first]
    kept[-160:] *= np.linspace(1, 0, len(kept[-160:]), dtype=np.float32)
    audio[first : first + len(kept)] = kept
    start = first / SAMPLE_RATE
    moved = [(name, a + start, min(b + start, SECONDS)) for name, a, b in said.phonemes if a + start < SECONDS]
    return replace(said, audio=recorded(audio, speaker.room, rng), phonemes=moved)


def speak_for_judges(studio: Studio, number: int) -> list[tuple[np.ndarray, np.ndarray, str, str]]:
    """CLIPS clips of person ``number``: (frames uint8 (T, S, S, 3) at 25 fps, audio float32 (n,) at 16 kHz, voice, sentence) each."""
    body, style, speaker, _ = studio.cast(number)
    rng = named_rng(studio.seed, "crowd speech", number)
    scene = Scene.sample(rng, studio.size * SUPERSAMPLE)
    speaker = replace(speaker, voice=voice_of(number, "female" if body.head.sex > 0.5 else "male", rng))
    clips, strange, strange_scene = [], randomised(body, rng), randomised_scene(scene, rng)
    for take in range(CLIPS):
        emotion = str(rng.choice(EMOTIONS))
        level, text = 1 if emotion == "neutral" else int(rng.integers(1, 4)), sentence(rng)
        said = say(text, speaker, emotion, level, rng)
        count = round(SECONDS * FPS)
        arkit, pose = performance(emotion, level, said.visemes, count, float(FPS), style, rng)
        pose, landmarks = studio.framed(body, arkit, pose, rng)
        who, where = body, scene
        if take % 2:
            pose, who, where = crop_jitter(pose, rng), strange, strange_scene
        frames = photograph(who, where, arkit, pose, studio.size, rng)
        if take % 2:
            frames = degrade(frames, landmarks, rng)
        clips.append((frames, said.audio, speaker.voice, text))
    return clips
