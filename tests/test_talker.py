"""The maker's path, with small untrained networks (HEF untrained shows the source moved by the 3DMM): whole videos and every refusal."""

import functools
import json
from fractions import Fraction

import matplotlib.cbook
import numpy as np
import pytest
import torch
from PIL import Image

from emolib import portrait as portrait_module
from emolib.ame import Ame
from emolib.demo import portrait, speech
from emolib.eac import Eac
from emolib.errors import EmolibError
from emolib.face.alignment import Alignment
from emolib.face.behaviour import NECK
from emolib.face.camera import rotation
from emolib.face.fitting import fit_image
from emolib.face.landmarks import detect
from emolib.face.loaders import load_face_model
from emolib.face.model import Coefficients
from emolib.hef import Hef
from emolib.media.audio import SAMPLE_RATE, decode_audio, mel, save_wav
from emolib.media.pictures import load_image
from emolib.media.video import read_video, video_info
from emolib.motion import DRIFT, add_blinks, head_motion
from emolib.motion import _drift as drifting
from emolib.motion import _stress as stressed
from emolib.portrait import Portrait
from emolib.request import EmotionCondition, check
from emolib.talker import Talker
from emolib.weights import sha256

VOICE = speech("Hello, you.")[: SAMPLE_RATE * 2 // 5]
NAMES = ("clip.safetensors", "eac.safetensors", "hef.safetensors", "face_model.npz")


@functools.cache
def small_portrait() -> np.ndarray:
    return np.ascontiguousarray(portrait()[:241, 100:341])  # odd sides


def make_weights(folder):
    """A folder of small untrained weights as ``make release`` writes them."""
    torch.manual_seed(0)
    Ame.create().save(folder / NAMES[0])
    eac = Eac(dim=16, depth=1, heads=2, audio_depth=1, frames=8)
    eac.beta_std *= 0.3
    eac.save(folder / NAMES[1])
    Hef(size=64, sigma_dim=16, channels=256, channels_max=16, style_dim=16).save(folder / NAMES[2])
    load_face_model().save(folder / NAMES[3])
    (folder / "manifest.json").write_text(json.dumps({"files": {n: sha256(folder / n) for n in NAMES}}))
    return folder


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    return make_weights(tmp_path_factory.mktemp("weights"))


@pytest.fixture(scope="module")
def talker(weights):
    return Talker.load(weights, "cpu")


@pytest.fixture(autouse=True)
def quick_fit(monkeypatch):
    """Landmarks and colours only: the photometric refinement has its own tests and takes seconds."""
    monkeypatch.setattr(portrait_module, "fit_image", functools.partial(fit_image, photometric=0))


@pytest.mark.parametrize("fps", [Fraction(25), Fraction(30000, 1001)])
def test_a_whole_video(talker, tmp_path, fps):
    out, seen = tmp_path / "new" / "talk.mp4", []
    report = talker.talk(small_portrait(), VOICE, "happy", 3, out, fps=fps, progress=lambda *x: seen.append(x))
    info = video_info(out)
    assert (info.fps, info.n_frames, info.width, info.height) == (fps, report.frames, 242, 242)
    assert abs(info.duration - info.audio_duration) < 1 / fps
    assert abs(info.duration - len(VOICE) / SAMPLE_RATE) <= 1 / fps
    assert abs(len(decode_audio(out)) / SAMPLE_RATE - info.duration) < 1 / fps
    assert seen[-1] == (report.frames, report.frames) and [p.name for p in out.parent.iterdir()] == ["talk.mp4"]
    assert any("even" in note for note in report.notes)
    frames = read_video(out).astype(int)
    assert np.abs(frames[:, :20, :20] - small_portrait()[:20, :20]).mean() < 4  # the picture around the face stays
    assert np.abs(np.diff(frames[:, 60:200, 60:200], axis=0)).mean() > 0.05  # the face does not


def test_a_gpu_whose_memory_is_short_makes_fewer_frames_at_once(talker, tmp_path, monkeypatch):
    request = check(small_portrait(), VOICE, "happy", out=tmp_path / "v.mp4")
    whole, made, asked = list(talker.frames(request)), Portrait.frames, []

    def short_of_memory(fits):
        def frames(self, wanted, sigma):
            asked.append(len(wanted))
            if len(wanted) > fits:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return made(self, wanted, sigma)

        return frames

    monkeypatch.setattr(Portrait, "frames", short_of_memory(1))
    notes: list[str] = []
    again = list(talker.frames(request, notes))
    assert len(again) == len(whole) and asked[-1] == 1 and asked[0] > 1
    assert np.abs(np.stack(again).astype(int) - np.stack(whole)).max() <= 1
    assert notes and all("memory is short" in note for note in notes)
    monkeypatch.setattr(Portrait, "frames", short_of_memory(0))
    with pytest.raises(EmolibError, match="too small for a face of .* px.*CUDA_VISIBLE_DEVICES="):
        list(talker.frames(request))


def test_same_request_same_frames(talker, tmp_path):
    request = check(small_portrait(), VOICE[:1600], "sad", 1.5, tmp_path / "a.mp4", seed=3)
    first, again = (np.stack(list(talker.frames(request))) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert first.shape == (2, 241, 241, 3)


def test_failure_half_way_leaves_nothing(talker, tmp_path):
    def stop(done, total):
        raise RuntimeError("killed")

    with pytest.raises(RuntimeError):
        talker.talk(small_portrait(), VOICE[:1600], "happy", 2, tmp_path / "a.mp4", progress=stop)
    assert not list(tmp_path.iterdir())


def test_emotions_from_words_face_and_voice(talker, tmp_path):
    Image.fromarray(small_portrait()).save(tmp_path / "face.png")
    save_wav(tmp_path / "voice.wav", VOICE)
    codes = []
    for condition in (
        EmotionCondition(text="sadly surprised"),
        EmotionCondition(image=tmp_path / "face.png"),
        EmotionCondition(audio=tmp_path / "voice.wav"),
    ):
        codes.append(talker.embed(check(small_portrait(), VOICE, condition, 2, tmp_path / "a.mp4").emotion))
        assert codes[-1].shape == (384,) and float(codes[-1].norm()) == pytest.approx(1, abs=1e-4)
    assert not torch.allclose(codes[0], codes[1]) and not torch.allclose(codes[1], codes[2])


def test_emotions_that_change(talker, tmp_path):
    """Before the change all is as with the first emotion alone, after it as with the second, but for what a second about each frame says
    of the voice's own mood."""
    own, options = Coefficients.zeros(1), {"blinks": False, "pose": "still"}
    voice = np.tile(VOICE, 3)

    def betas(text, intensity=1):
        request = check(small_portrait(), voice, text, intensity, tmp_path / "a.mp4", transition=0.1, **options)
        return talker.coefficients(talker.placed(request), own)[0].beta

    first, second, both = betas("sad", 1), betas("happy", 3), betas("sad@0 happy:3@0.5")
    apart = float((second - first).abs().max())
    assert float((both[:12] - first[:12]).abs().max()) < 0.2 * apart
    assert float((both[16:] - second[16:]).abs().max()) < 0.2 * apart
    assert not torch.allclose(both[13], first[13]) and not torch.allclose(both[13], second[13])
    halves = talker.told(check(small_portrait(), voice, "sad*0.5 + happy*0.5", 2, tmp_path / "a.mp4"), 4)
    code = torch.nn.functional.normalize(talker.embed("sad") + talker.embed("happy"), dim=0)
    torch.testing.assert_close(halves[0], code.expand(4, -1))
    assert halves[1].tolist() == [2] * 4


def test_styles_are_people(talker, tmp_path):
    """Style 0 is as before, each other number somebody; weights that know one style say so."""
    own, options = Coefficients.zeros(1), {"blinks": False, "pose": "still"}

    def betas(machine, style):
        request = check(small_portrait(), VOICE, "happy", 3, tmp_path / "a.mp4", style=style, **options)
        return machine.coefficients(request, own)[0].beta

    with pytest.raises(EmolibError, match="style 4 was asked for, but these weights know one style"):
        betas(talker, 4)
    eac = Eac(dim=16, depth=1, heads=2, audio_depth=1, frames=8, style=3).eval().requires_grad_(False)
    many = Talker(talker.ame, eac, talker.hef, talker.model)
    same, one, other = betas(many, 4), betas(many, 4), betas(many, 5)
    assert torch.equal(same, one) and not torch.allclose(one, other) and not torch.allclose(one, betas(many, 0))


def test_still_pose_and_other_rate(talker, tmp_path):
    """At 50 fps every second pair of frames straddles a frame of 25 fps: the same motion, sampled twice as often."""
    own = Coefficients.zeros(1)
    options = {"pose": "still", "blinks": False}
    slow = talker.coefficients(check(small_portrait(), VOICE, "sad", 2, tmp_path / "a.mp4", **options), own)[0]
    fast = talker.coefficients(check(small_portrait(), VOICE, "sad", 2, tmp_path / "a.mp4", fps=50, **options), own)[0]
    assert len(fast) == 2 * len(slow) and not slow.pose.any()
    middle = (fast.beta[2:-2:2] + fast.beta[3:-2:2]) / 2
    torch.testing.assert_close(middle[0], slow.beta[1], atol=0.2 * float(slow.beta.std()), rtol=0)
    torch.testing.assert_close(fast.beta[3], 0.75 * slow.beta[1] + 0.25 * slow.beta[2])


def test_head_motion_is_small_smooth_and_about_the_neck():
    voice = speech()
    motion = head_motion(mel(voice), 75, Fraction(25), np.random.default_rng(0))
    assert motion.shape == (75, 6) and np.abs(motion[:, :3]).max() < 0.12  # 7 degrees
    assert np.abs(motion[0, :3]).max() < 0.005 and np.abs(np.diff(motion[:, :3], axis=0)).max() < 0.03
    assert motion[:, :3].std(axis=0).min() > 0.002
    stays = np.einsum("nij,j->ni", rotation(motion[:, :3]), NECK) + motion[:, 3:]
    np.testing.assert_allclose(stays, np.broadcast_to(NECK, stays.shape), atol=1e-5)
    np.testing.assert_array_equal(motion, head_motion(mel(voice), 75, Fraction(25), np.random.default_rng(0)))
    assert np.isfinite(head_motion(mel(voice), 1, Fraction(25), np.random.default_rng(0))).all()


@pytest.mark.parametrize("seconds", [0.2, 0.6, 1.2, 2.4, 12])
def test_head_motion_is_as_large_whatever_the_length(seconds):
    """Over 100 seeds: the drift has the deviation it says, and nowhere does the head turn by over 12 degrees or 25 degrees a second."""
    voice = np.tile(speech(), 4)[: int(seconds * SAMPLE_RATE)]
    heard, frames = mel(voice), round(25 * seconds)
    motion = np.stack([head_motion(heard, frames, Fraction(25), np.random.default_rng(seed)) for seed in range(100)])
    assert np.degrees(np.ptp(motion[:, :, :3], axis=1)).max() < 12
    assert np.degrees(np.abs(np.diff(motion[:, :, :3], axis=1))).max() * 25 < 25
    drift = np.stack([drifting(frames, 25.0, np.random.default_rng(seed)) for seed in range(400)])
    np.testing.assert_allclose(drift.std(axis=(0, 1)), DRIFT, rtol=0.15)


def test_a_shorter_voice_moves_like_the_beginning_of_a_longer_one():
    heard = mel(np.tile(speech(), 3))
    long, short = (head_motion(heard[: 4 * n + 1], n, Fraction(25), np.random.default_rng(1)) for n in (200, 100))
    np.testing.assert_array_equal(long[:100, 1:3], short[:, 1:3])
    assert np.degrees(np.abs(long[:50] - short[:50])).max() < 0.05  # nods look ahead: the loudness around them counts


def test_a_hum_brings_no_nods():
    """A steady sound has no stress; what little it varies by is not blown up to the range of speech."""
    hum = (0.1 * np.sin(np.arange(3 * SAMPLE_RATE) * 0.1)).astype(np.float32)
    assert np.abs(stressed(mel(hum), np.linspace(0.5, 2.5, 50))).max() < 0.1
    assert stressed(mel(speech()), np.linspace(0.5, 2.5, 50)).max() > 0.5


def test_blinks_close_the_eyes():
    model = load_face_model()
    beta = add_blinks(model, torch.zeros(2, 64), np.array([0.0, 1.0], np.float32))
    assert not beta[0].any()
    lids = model.landmarks(torch.zeros(2, 80), beta, torch.zeros(2, 6), 256)[:, 36:42]
    opening = (lids[:, 4:6, 1] - lids[:, [2, 1], 1]).mean(1)
    assert opening[1] < 0.35 * opening[0]
    again = add_blinks(model, beta[1:], np.ones(1, np.float32))
    torch.testing.assert_close(again, beta[1:], atol=0.15 * float(beta[1].abs().max()), rtol=0)  # closed is closed


def test_several_faces(tmp_path):
    small = np.asarray(Image.fromarray(small_portrait()).resize((180, 180)))
    group = np.full((260, 460, 3), 128, np.uint8)
    group[:180, :180], group[:241, 200:441] = small, small_portrait()
    request = check(group, VOICE, "happy", 2, tmp_path / "a.mp4")
    assert len(request.faces) == 2 and request.faces[0].box[0] > 200 and "2 faces found" in request.notes[0]
    second = check(group, VOICE, "happy", 2, tmp_path / "a.mp4", face=2)
    assert second.face == 2 and not second.notes
    for wrong in (0, 3):
        with pytest.raises(EmolibError, match="2 found|face is 0; expected a whole number from 1"):
            check(group, VOICE, "happy", 2, tmp_path / "a.mp4", face=wrong)


def test_large_pictures_are_shrunk(tmp_path):
    large = np.asarray(Image.fromarray(small_portrait()).resize((2410, 2410)))
    request = check(large, VOICE, "happy", 2, tmp_path / "a.mp4")
    assert request.image.shape == (1920, 1920, 3) and "shrunk" in request.notes[0]


def test_what_a_user_should_know_of_a_picture_is_noted(tmp_path):
    small = Image.fromarray(small_portrait()).resize((60, 60), Image.Resampling.LANCZOS)
    request = check(small, VOICE, "happy", 2, tmp_path / "a.mp4")
    assert len(request.notes) == 1 and "px wide, so the result will be soft" in request.notes[0]
    Image.fromarray(small_portrait()).save(tmp_path / "me.png", icc_profile=b"junk")
    request = check(tmp_path / "me.png", VOICE, EmotionCondition(image=small), 2, tmp_path / "a.mp4")
    assert "profile" in request.notes[0] and "ignored" in request.notes[0]
    assert request.notes[1].startswith("the emotion's picture: the face is only")
    np.testing.assert_array_equal(request.image, small_portrait())


def test_refusals_before_any_weights(tmp_path):
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "file").write_text("no folder")
    good = {"source": small_portrait(), "audio": VOICE, "emotion": "happy", "intensity": 2, "out": tmp_path / "a.mp4"}
    for change, said in [
        ({"source": tmp_path / "absent.png"}, "no image at"),
        ({"source": tmp_path / "text.png"}, "not an image"),
        ({"source": np.full((200, 200, 3), 90, np.uint8)}, "no face found"),
        ({"source": small_portrait() / 127.5 - 1}, "floats from 0 to 1"),
        ({"source": None}, "is a NoneType"),
        ({"audio": tmp_path / "absent.wav"}, "no audio file"),
        ({"audio": tmp_path / "text.png"}, "not audio|no sound"),
        ({"audio": np.zeros(16000)}, "silent"),
        ({"audio": np.zeros(0)}, "empty"),
        ({"intensity": 0.5}, "intensity is 0.5"),
        ({"intensity": float("nan")}, "intensity is nan"),
        ({"intensity": "strong"}, "intensity is 'strong'"),
        ({"emotion": ""}, "no emotion"),
        ({"emotion": None}, "no emotion"),
        ({"emotion": "x" * 10_000}, "10000 characters"),
        ({"emotion": "happy@0 sad@0"}, "times are 0, 0"),
        ({"emotion": "happy*0.7 + sad*0.7"}, "sum to 1.4"),
        ({"emotion": "happy@0 sad@1", "transition": float("nan")}, "transition is nan"),
        ({"out": tmp_path / "file" / "a.mp4"}, "not a folder that can be written"),
        ({"out": tmp_path / "a.avi"}, "does not end in .mp4"),
        ({"pose": "wild"}, "expected one of generated, still"),
        ({"fps": 0}, "fps is 0"),
    ]:
        with pytest.raises(EmolibError, match=said):
            check(**(good | change))
    with pytest.raises(EmolibError, match=r"2 emotions \(text, audio\)"):
        EmotionCondition(text="sad", audio="voice.wav")
    with pytest.raises(EmolibError, match="no emotion"):
        EmotionCondition()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "text.png"]


def test_missing_and_damaged_weights(weights, tmp_path):
    with pytest.raises(EmolibError, match="no weights in"):
        Talker.load(tmp_path / "absent")
    for name in (*NAMES, "manifest.json"):
        (tmp_path / name).write_bytes((weights / name).read_bytes())
    (tmp_path / NAMES[1]).write_bytes((weights / NAMES[1]).read_bytes()[:-9])
    with pytest.raises(EmolibError, match="eac.safetensors are damaged"):
        Talker.load(tmp_path)
    (tmp_path / NAMES[1]).unlink()
    with pytest.raises(EmolibError, match="eac.safetensors"):
        Talker.load(tmp_path)
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(EmolibError, match="manifest.json is damaged"):
        Talker.load(tmp_path)


def test_weights_that_do_not_belong_together(talker):
    with pytest.raises(EmolibError, match="made together"):
        Talker(talker.ame, Eac(dim=32, depth=1, heads=2), talker.hef, talker.model)


def test_demo_speech_is_about_three_seconds():
    assert 2.5 < len(speech()) / SAMPLE_RATE < 4


@pytest.mark.parametrize("name, low, high", [("hopper", -0.8, 1.2), ("astronaut", 2.5, 5.5)])
def test_lips_of_a_photograph_are_fitted_as_far_apart_as_they_are(name, low, high):
    """Closed in one portrait; in the other a smile whose teeth are 4 to 5 px high in the crop, read off the picture."""
    files = {"hopper": matplotlib.cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)}
    image = load_image(files[name]) if name in files else portrait()
    found = detect(image)[0].landmarks
    alignment = Alignment.from_landmarks(found, 128)
    fit = fit_image(load_face_model(), alignment.crop(image), alignment.points(found))
    c = fit.coefficients
    points = load_face_model().landmarks(c.alpha, c.beta, c.pose, 128)[0]
    assert low < float(points[66, 1] - points[62, 1]) < high
    assert np.allclose(fit.landmarks[0], alignment.points(found))


def test_what_is_told_is_shown_whatever_the_voice_feels():
    """With the weights that ship: a cheerful voice told to be contemptuous smiled."""
    shipped, moods = Talker.load(device="cpu"), {}
    for told in ("contempt", "angry"):
        for voice in ("happy", "sad"):
            request = check(small_portrait(), speech(emotion=voice), told, 3, "mood.mp4", pose="still", blinks=False)
            beta, _ = shipped.spoken(request)
            moods[told, voice] = (beta @ shipped.model.beta_to_arkit).mean(0)
    names = ("mouthSmileLeft", "cheekSquintLeft", "browDownLeft", "noseSneerLeft", "browInnerUp")
    places = [shipped.model.arkit_names.index(name) for name in names]
    for told in ("contempt", "angry"):
        assert (moods[told, "happy"] - moods[told, "sad"])[places].abs().max() < 0.15, told
    assert moods["contempt", "happy"][places[0]] < 0.35 and moods["angry", "sad"][places[2]] > 0.7
