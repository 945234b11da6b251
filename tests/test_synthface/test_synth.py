import numpy as np
import pytest
import torch

from emolib.corpus.synth import build_corpus
from emolib.emotions import EMOTIONS
from emolib.errors import EmolibError
from emolib.face.alignment import Alignment, nme
from emolib.face.arkit import ARKIT, INDEX
from emolib.face.camera import rotation
from emolib.face.landmarks import detect
from emolib.params import Base, Data
from synthface import expressions, heads, speech
from synthface.expressions import Style, activation, performance, visemes
from synthface.synth import PAIRS, SENTENCES, ClipSpec, Studio, plan


@pytest.fixture(scope="module")
def studio():
    torch.set_num_threads(1)
    return Studio(7, 96, 0.64)


@pytest.fixture(scope="module")
def clip(studio):
    return studio.clip(ClipSpec("train", 1, "happy", 3, 0))


def test_arkit_order_is_the_face_models():
    assert list(ARKIT) == list(heads.ARKIT)


def test_activation_by_hand():
    # surprised at level 3 for the average person: AU2 0.7, AU5 0.85 by all, AU26 is 0.68 times 0.45 of jawOpen
    got = activation("surprised", 3)
    assert got[INDEX["browOuterUpLeft"]] == pytest.approx(0.7)
    assert got[INDEX["eyeWideRight"]] == pytest.approx(0.85)
    assert got[INDEX["jawOpen"]] == pytest.approx(0.68 * 0.45)
    assert activation("surprised", 1) == pytest.approx(0.4 * got)
    assert not activation("neutral", 1).any()


def test_contempt_is_one_sided():
    style = Style.sample(np.random.default_rng(0))
    got = activation("contempt", 3, style)
    dimples = got[[INDEX["mouthDimpleLeft"], INDEX["mouthDimpleRight"]]]
    assert dimples[style.side] > 5 * dimples[1 - style.side]


@pytest.mark.parametrize("emotion", [*EMOTIONS, *expressions.UNSEEN])
def test_every_emotion_has_activations_and_levels_are_ordered(emotion):
    levels = [activation(emotion, i).sum() for i in (1, 2, 3)]
    assert emotion == "neutral" or 0 < levels[0] < levels[1] < levels[2]


def test_visemes_close_lips_and_coarticulate():
    events = [("sil", 0, 0.2), ("aa", 0.2, 0.4), ("PP", 0.4, 0.5), ("ou", 0.5, 0.8)]
    track, closure = visemes(events, 20, 25.0)
    assert closure[11] == pytest.approx(1, abs=0.01) and closure[6] < 0.01
    assert track[7, INDEX["jawOpen"]] > 0.3 > track[11, INDEX["jawOpen"]]
    pucker = track[:, INDEX["mouthPucker"]]
    assert pucker[8] > 0.02 and pucker[8] < pucker[11] < pucker[15]  # the vowel to come rounds the lips before


def test_performance_shuts_the_lips_of_an_open_emotion():
    rng = np.random.default_rng(3)
    arkit, pose = performance("surprised", 3, [("PP", 0.3, 0.5)], 20, 25.0, Style.sample(rng), rng)
    jaw = arkit[:, INDEX["jawOpen"]]
    assert jaw[6:10].min() < 0.1 < 0.2 < jaw[[0, 18]].min()
    assert arkit.shape == (20, 52) and pose.shape == (20, 6) and 0 <= arkit.min() and arkit.max() <= 1


def test_rotation_of_arrays_is_that_of_tensors():
    pose = np.random.default_rng(0).normal(size=(5, 6))
    np.testing.assert_allclose(rotation(pose), rotation(torch.from_numpy(pose)).numpy(), atol=1e-12)


def test_plan_has_every_pair_and_splits_by_identity():
    specs = plan(2, 1, 7, clips_per_identity=22, unseen_emotions=6)
    assert len(specs) == 3 * 22 + 6 and len({s.clip_id for s in specs}) == 72
    assert not {s.identity for s in specs if s.split == "train"} & {s.identity for s in specs if s.split != "train"}
    assert {(s.emotion, s.intensity) for s in specs if s.person == 2 and s.split == "test"} == set(PAIRS)
    assert {s.emotion for s in specs if s.split == "unseen"} == set(expressions.UNSEEN)
    assert not {s.emotion for s in specs if s.split != "unseen"} & set(expressions.UNSEEN)


def test_validation_people_are_nobody_else_and_six_show_unseen_emotions():
    specs = plan(3, 8, 7, validation=2, clips_per_identity=12, test_clips=8, unseen_emotions=6)
    people = {
        split: {s.person for s in specs if s.split == split} for split in ("train", "test", "validation", "unseen")
    }
    assert [len(people[split]) for split in ("train", "test", "validation", "unseen")] == [3, 8, 2, 6]
    assert people["unseen"] < people["test"] and not people["validation"] & (people["train"] | people["test"])
    for split, clips in (("train", 12), ("test", 8), ("validation", 8)):
        for person in people[split]:
            own = [s for s in specs if (s.person, s.split) == (person, split)]
            assert len(own) == clips and {s.emotion for s in own} == set(EMOTIONS)


def test_a_short_plan_is_spread_over_the_emotions():
    few = plan(40, 1, 7, clips_per_identity=9, unseen_emotions=0)
    assert len(few) == 41 * 9 and {s.emotion for s in few if s.person == 0} == set(EMOTIONS)
    twice = [
        e for person in range(40) for e in EMOTIONS if sum(s.person == person and s.emotion == e for s in few) == 2
    ]
    assert (
        len(twice) == 40 and len(set(twice)) == 7
    )  # the ninth clip is not always of the same emotion; neutral has one level


def test_randomised_people_keep_their_truth_and_their_sound(studio, clip):
    strange = Studio(7, 96, 0.64, randomise=True)
    changed = []
    for person in (6, 7):
        spec = ClipSpec("train", person, "happy", 3, 0)
        (_, plain, sound, truth), (_, frames, again, moved) = studio.clip(spec), strange.clip(spec)
        assert (sound == again).all() and (truth["arkit"] == moved["arkit"]).all()
        changed.append(not (plain == frames).all())
        assert np.abs(truth["landmarks"] - moved["landmarks"]).max() < 0.12 * 96  # a crop jitters, truth goes with it
        assert changed[-1] == (np.abs(truth["landmarks"] - moved["landmarks"]).max() > 0)
    assert changed == [False, True]  # some people stay as they are
    test = ClipSpec("test", 5, "sad", 1, 0)
    assert (studio.clip(test)[1] == strange.clip(test)[1]).all()


def test_sentences_are_split():
    assert not set(SENTENCES[True]) & set(SENTENCES[False])
    assert set(SENTENCES[True]) | set(SENTENCES[False]) == set(speech.SENTENCES)


def test_clip_is_an_aligned_crop_that_a_detector_confirms(clip):
    record, frames, audio, truth = clip
    assert frames.shape == (16, 96, 96, 3) and len(audio) == round(0.64 * 16000) and record["emotion"] == "happy"
    matrix = Alignment.from_landmarks(truth["landmarks"], 96).matrix
    assert np.abs(matrix[:, :2] - np.eye(2)).max() < 0.05
    middle = np.array([48.0, 48.0])
    assert np.abs(matrix[:, :2] @ middle + matrix[:, 2] - middle).max() < 2.5
    found = [nme(detect(frames[t])[0].landmarks, truth["landmarks"][t]) for t in (0, 15)]
    assert np.mean(found) < 10  # % of the interocular distance: dlib and the mesh differ mostly on the jaw


def test_coefficients_reproduce_the_truth(studio, clip):
    truth = clip[3]
    alpha, beta, _, _, pose = torch.from_numpy(truth["coefficients"]).split([80, 64, 80, 27, 6], dim=1)
    again = studio.model.landmarks(alpha, beta, pose, 96).numpy()
    assert np.abs(again - truth["landmarks"]).mean() < 1.0  # pixels at 96: the head is not in the PCA's span


def test_same_clip_whatever_was_made_before(studio, clip):
    studio.clip(ClipSpec("train", 2, "sad", 1, 0))
    record, frames, audio, truth = studio.clip(ClipSpec("train", 1, "happy", 3, 0))
    assert record == clip[0] and (frames == clip[1]).all() and (audio == clip[2]).all()
    assert all((truth[k] == clip[3][k]).all() for k in truth)


def test_build_refuses_odd_sizes(tmp_path):
    with pytest.raises(EmolibError, match="even"):
        build_corpus(tmp_path, Data(), Base(size=65), progress=False)


def test_intensity_out_of_range_is_refused():
    with pytest.raises(EmolibError, match="intensity"):
        activation("happy", 4)
