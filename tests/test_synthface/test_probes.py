"""The probes see what a hand-made corpus holds, and nothing where it holds nothing."""

from fractions import Fraction

import numpy as np
import pandas as pd
import pytest

from emolib.corpus.clips import Corpus
from emolib.emotions import EMOTIONS
from emolib.errors import EmolibError
from emolib.media.audio import SAMPLE_RATE
from synthface import probes


class FakeClip:
    """A second of 16 frames of noise. ``tell`` names what gives the emotion away."""

    def __init__(self, record: dict, tell: str):
        self.__dict__.update(record)
        self.tell, self.corpus, self.fps, self.text = tell, "fake", Fraction(16), "Twelve letters"
        self.rng = np.random.default_rng(record["seed"])
        self.code = EMOTIONS.index(self.emotion) if self.emotion in EMOTIONS else -1

    def frames(self, at) -> np.ndarray:
        frames = self.rng.integers(0, 256, size=(len(at), 32, 32, 3))
        if self.tell == "pixels":  # a bright bar at the place of the emotion, far from the corners
            frames[:, 12:16, 4 * self.code : 4 * self.code + 4] = 255
        if self.tell == "background":
            colour = np.array([self.code & 1, self.code >> 1 & 1, self.code >> 2]) * 200
            frames[:, :3, :3] = frames[:, :3, -3:] = colour
        return frames.astype(np.uint8)

    def audio(self) -> np.ndarray:
        sound = self.rng.normal(size=SAMPLE_RATE) * 0.05
        if self.tell == "sound":
            sound += 0.2 * np.sin(2 * np.pi * 400 * (1 + self.code) * np.arange(SAMPLE_RATE) / SAMPLE_RATE)
        if self.tell == "loudness":
            sound *= 2.0**-self.code
        return sound.astype(np.float32)


class FakeCorpus(Corpus):
    def __init__(self, table: pd.DataFrame, tell: str):
        super().__init__(table, None)
        self.tell = tell

    def select(self, **columns) -> "FakeCorpus":
        return FakeCorpus(super().select(**columns).table, self.tell)

    def __getitem__(self, i: int) -> FakeClip:
        return FakeClip(self.table.iloc[i].to_dict(), self.tell)


def corpus(tell: str, shuffled: bool = False, people: int = 10) -> FakeCorpus:
    """``people`` people, four of them for the test, with every emotion at three levels (neutral at one) and one clip of no class."""
    records = []
    for person in range(people):
        split = "test" if person >= people - 4 else "train"
        pairs = [(e, level) for e in EMOTIONS for level in (1, 2, 3) if e != "neutral" or level == 1]
        for emotion, level in [*pairs, ("awe", 3)]:
            records.append({
                "split": split if emotion in EMOTIONS else "unseen", "identity": f"P{person}", "emotion": emotion,
                "intensity": level, "clip_id": f"P{person}_{emotion}_{level}", "seed": len(records),
                "n_frames": 16 + 4 * EMOTIONS.index(emotion) if tell == "length" and emotion in EMOTIONS else 16,
            })  # fmt: skip
    table = pd.DataFrame(records)
    if shuffled:
        seen = (table["emotion"] != "awe").to_numpy()
        table.loc[seen, "n_frames"] = np.random.default_rng(0).permutation(table.loc[seen, "n_frames"])
    return FakeCorpus(table, tell)


def row(table: pd.DataFrame, target: str, probe: str, unit: str) -> pd.Series:
    found = table[(table["target"] == target) & (table["probe"] == probe) & (table["unit"] == unit)]
    assert len(found) == 1
    return found.iloc[0]


@pytest.mark.parametrize("tell", ["pixels", "sound", "background", "loudness", "length"])
def test_what_tells_is_found_and_nothing_else(tell):
    table = probes.probe(corpus(tell))
    assert table["accuracy"].between(0, 1).all() and (table["low"] <= table["high"]).all()
    assert row(table, "emotion", tell, "clip").accuracy > 0.8
    heard = {"loudness": {"sound"}, "sound": {"loudness"}, "length": {"frame index"}, "background": {"pixels"}}
    for other in table[(table["target"] == "emotion") & (table["unit"] == "clip")].itertuples():
        if other.probe not in {tell, *heard.get(tell, ())}:
            assert other.accuracy < 0.25, other.probe
    assert row(table, "intensity", tell, "clip").accuracy < 0.55
    assert set(table["n_test"]) <= {4 * 22, 4 * 22 * 8, 4 * 21, 4 * 21 * 8, 44, 44 * 8}  # awe is passed over


def test_a_tell_that_is_shuffled_tells_nothing():
    found = row(probes.probe(corpus("length", shuffled=True)), "emotion", "length", "clip")
    assert found.low <= found.chance + 0.05 and found.accuracy < 0.25 and found.chance == 1 / 8


def test_kinds_and_refusal():
    clips = corpus("pixels")
    table = probes.probe(clips)
    assert row(table, "identity", "background", "clip").kind == "by design"
    assert row(table, "emotion", "background", "clip").kind == "shortcut"
    assert row(table, "emotion", "sound", "frame").kind == "signal"
    assert not (table["probe"] == "landmarks").any()  # no truth in a corpus that was not rendered
    with pytest.raises(EmolibError, match="need train and test clips"):
        probes.probe(clips.select(split="train"))


def test_balanced_accuracy_and_its_interval():
    label, said = np.array([0, 0, 0, 1]), np.array([0, 0, 1, 1])
    assert probes.balanced_accuracy(label, said) == pytest.approx((2 / 3 + 1) / 2)
    assert probes.balanced_accuracy(label, np.zeros(4, int)) == 0.5  # a guesser has 1 / classes
    low, high = probes._interval(np.repeat([0, 1], 50), np.tile([0, 1], 50), np.arange(100))
    assert 0.35 < low < 0.45 and 0.55 < high < 0.65  # a fair coin, 100 throws: 0.5 +- 0.1
    assert probes._interval(label, label, np.arange(4)) == (1.0, 1.0)


def test_prosody_measures_pitch_and_pauses():
    time = np.arange(SAMPLE_RATE) / SAMPLE_RATE
    tone = sum(np.sin(2 * np.pi * 200 * k * time) / k for k in range(1, 6)).astype(np.float32) * 0.2
    broken = tone.copy()
    broken[4000:8000] = 0
    assert probes.pause_share(tone) == 0 and probes.pause_share(broken) == pytest.approx(0.25, abs=0.03)
    clip = FakeClip({"clip_id": "a", "seed": 0, "emotion": "happy", "identity": "P0", "intensity": 2}, "")
    clip.audio = lambda: tone
    heard = probes.prosody(clip)
    assert heard["pitch_hz"] == pytest.approx(200, rel=0.02) and heard["range_semitones"] < 0.5
    assert heard["letters_per_s"] == len(clip.text)
