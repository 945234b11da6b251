"""Words for emotions: what is understood, as what, and what is refused in one sentence. Lists and counts: ``python tests/test_words.py``."""

import random
import string
from dataclasses import dataclass, replace

import pytest

from emolib.ame import Ame
from emolib.emotions import EMOTIONS
from emolib.errors import EmolibError
from emolib.prompts import NOUNS, WORDS
from emolib.talker import PRETRAINED, Talker
from emolib.words import Understood, normal, understand

# In none of our tables: left to the text tower.
UNLISTED = (
    "jealous envious guilty ashamed embarrassed bored curious hopeful relieved confused compassionate shy desperate triumphant ferocious "
    "spiteful menacing dreamy heartsick tormented agonised giddy mirthful enchanted aghast hatred awe"
).split() + [
    "scared of the dark", "about to cry", "grinning from ear to ear", "boiling mad", "sick of it all", "what a nasty smell",
    "he cannot believe his eyes", "as if she saw a ghost", "filled with joy", "a broken heart",
]  # fmt: skip
PLAIN = (
    "lamp, river, engine, keyboard, window, potato, carpet, bicycle, mountain, garden, spoon, chair, blanket, shoe, candle, bridge, cloud, "
    "sand, pencil, camera, guitar, soup, train, airport, hospital, wall, glass, coffee, tea, bread, tomorrow morning, the cat sits on the "
    "mat, I bought a new car, two plus two is four, the train leaves at nine, green, square, seventeen, long, thin, yellow, left, upstairs, "
    "plastic, digital, german, northern, weekly, vertical, chemical, open the door, a cup of water, buy milk and eggs, read the manual, he "
    "works in a bank, version two, section three, the population of France, how to cook rice, run the program, press any key, my phone "
    "number, user name, password, download, update, error, file missing, main street, blue car, red house, tall building, small dog, wooden "
    "table, paper bag, cheese sandwich, football match, stock market, board meeting, history lesson, piano, violin, swimming pool, winter, "
    "monday, december, kilogram, metre, oxygen, silver, triangle, thursday, mathematics, geography, banana, elephant, giraffe, laptop, bottle"
).split(", ")
FOREIGN = {
    "angry": "en colère, furieux, wütend, böse, ich bin sauer, enojado, muy enfadada, arrabbiato, zangado, boos, zły, kızgın, злой, сердитый, "
    "غاضب, गुस्सा, 生气, 愤怒, 怒っている, 화난",
    "contempt": "mépris, verächtlich, desprecio, disprezzo, desprezo, minachting, pogarda, презрение, احتقار, 轻蔑, 軽蔑, 경멸",
    "disgusted": "dégoûté, angeekelt, asco, disgustato, nojo, walging, obrzydzenie, отвращение, اشمئزاز, घृणा, 恶心, 嫌悪, 역겨운",
    "fear": "peur, effrayée, ängstlich, ein bisschen ängstlich, miedo, spaventato, com medo, angstig, strach, korkmuş, страх, испуганная, خائف, "
    "डर, 害怕, 怖い, 무서운",
    "happy": "heureux, très heureuse, glücklich, fröhlich, feliz, alegre, felice, blij, szczęśliwy, mutlu, счастливый, радость, سعيد, खुश, 高兴, "
    "开心, 嬉しい, 행복한",
    "sad": "triste, malheureux, traurig, sehr traurig, tristeza, verdrietig, smutny, üzgün, грустный, печаль, حزين, उदास, 难过, 不开心, 悲しい, 슬픈",
    "surprised": "surpris, étonnée, überrascht, sorprendido, sorpreso, surpreso, verrast, zaskoczony, şaşkın, удивлённый, متفاجئ, हैरान, 惊讶, "
    "びっくり, 놀란",
    "neutral": "neutre, calme, ruhig, neutro, sereno, rustig, spokojny, sakin, спокойный, محايد, 平静, 無表情, 무표정",
}
NEGATED = (
    "not angry at all, never happy, don't be sad, he isn't angry, pas triste, sans joie, nicht wütend, ohne angst, no feliz, non felice, não "
    "triste, niet blij, nie smutny, mutlu değil, не злой, без радости, ليس غاضب, 没有生气, 悲しくない, 슬프지 않은, दुखी नहीं"
).split(", ")


@dataclass(frozen=True)
class _Request:
    emotion: Understood
    notes: tuple[str, ...]


def gibberish(count: int = 200) -> list[str]:
    chance = random.Random(0)

    def word() -> str:
        return "".join(chance.choice(string.ascii_lowercase) for _ in range(chance.randint(3, 12)))

    return [" ".join(word() for _ in range(1 + i % 3)) for i in range(count)]


@pytest.fixture(scope="module")
def ame():
    return Ame.load(PRETRAINED / "clip.safetensors")


def taken(ame: Ame, texts: list[str]) -> int:
    """How many of ``texts`` are taken for an emotion by the tables or the text tower."""
    count = 0
    for text in texts:
        try:
            meant = understand(text)
        except EmolibError:
            continue
        count += meant.known or ame.place(meant.text) is not None
    return count


@pytest.mark.parametrize("emotion", EMOTIONS)
def test_the_prompts_own_words_go_as_they_are(emotion):
    """So that nothing that the figures show depends on this module."""
    for word in (emotion, *WORDS[emotion], *NOUNS[emotion], f"a {WORDS[emotion][0]} face", "sadly surprised"):
        assert understand(word) == Understood(word)


@pytest.mark.parametrize(("emotion", "words"), [(e, w) for e, line in FOREIGN.items() for w in line.split(", ")])
def test_other_languages(emotion, words):
    meant = understand(words)
    assert meant.known and meant.text in (WORDS[emotion][0], emotion) and f"is taken as {meant.text}" in meant.note
    assert understand(words.upper() + "!").text == meant.text


@pytest.mark.parametrize("words", NEGATED)
def test_what_an_emotion_is_not_is_refused(words):
    with pytest.raises(EmolibError, match="says what it is not; say what it is"):
        understand(words)


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ("a bit cross", "angry"), ("over the moon", "happy"), ("looking down on someone", "contemptuous"), ("horrified", "fearful"),
        ("😀", "happy"), ("😡😡", "angry"), ("I am 😢 today", "sad"), ("👿🏽", "angry"), ("no emotion", "neutral"), ("KIZGIN", "angry"),
        ("ｈａｐｐｙ", "happy"), ("'furious'", "'furious'"), ("“furious”", "furious"), ("sad\u200b", "sad"), ("  she   looks angry ", "she looks angry"),
        ("wütend und traurig", "angry and sad"), ("seething with rage", "angry"), ("unhappy", "unhappy"),
    ],
)  # fmt: skip
def test_other_ways_to_say_it(words, text):
    assert understand(words).text == text and understand(words).known


@pytest.mark.parametrize("words", ["", "  ", "\u200b", "...", "12345", "ΩΩΩ", "ქართული", "x" * 301, None, 3])
def test_what_says_nothing(words):
    with pytest.raises(EmolibError):
        understand(words)


def test_normal_forms():
    assert (
        normal("Écœuré,  «ＤÉÇU»!") == "ecoeure decu"
        and normal("don’t") == "don't"
        and normal("É") == normal("e\u0301") == "e"
    )


def test_the_text_tower_takes_emotions_and_little_else(ame):
    assert taken(ame, UNLISTED) >= 0.85 * len(UNLISTED)
    assert taken(ame, PLAIN) <= 0.15 * len(PLAIN)
    assert taken(ame, gibberish()) <= 0.05 * 200


def test_a_talker_says_what_it_took_and_refuses_the_rest(ame):
    talker = Talker.__new__(Talker)
    talker.ame = ame
    request = _Request(Understood("spiteful", known=False), ("a note",))
    placed = talker.placed(request)
    assert placed.emotion == Understood("spiteful") and "nearest to contempt" in placed.notes[1]
    assert talker.placed(placed) is placed
    with pytest.raises(EmolibError, match="'xkcd qwrtz' is not understood as an emotion; give English words"):
        talker.placed(replace(request, emotion=Understood("xkcd qwrtz", known=False)))


if __name__ == "__main__":
    net = Ame.load(PRETRAINED / "clip.safetensors")
    for name, texts in (("unlisted emotions", UNLISTED), ("plain texts", PLAIN), ("gibberish", gibberish())):
        print(f"{name}: {taken(net, list(texts))} of {len(texts)} taken")
