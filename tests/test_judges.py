"""The frozen judges: people, voices and sentences of no corpus; a SyncNet that hears by Whisper; what ships."""

import functools

import numpy as np
import pytest
import torch

from emolib.corpus import people as kept
from emolib.corpus.crowd import SIZE, draw_crowd
from emolib.critics.emotion import EmotionNet
from emolib.critics.shipped import FILES, NAMES, hashes, ship
from emolib.critics.sync import TOKENS, VIDEO, WIDTH, SyncNet, cut_windows, inside, mouth_window, sync_auc
from emolib.emotions import EMOTIONS
from emolib.errors import EmolibError
from emolib.face.model import Coefficients
from emolib.train.crowd import SHRUNK, CrowdEmotion, CrowdSync, People, as_fitted, crowd_bank
from emolib.train.loop import Loop
from emolib.weights import PRETRAINED, save_weights, verify
from synthface import natural, speech
from synthface.crowd import FRAMES, SEED, TAKES, crowd_studio, sit_for_judges
from synthface.crowd_speech import ESPEAK, NATURAL, invented, sentence, voice_of

JUDGES = PRETRAINED / "judges"


@functools.cache
def person():
    return sit_for_judges(crowd_studio(SIZE), 5)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A crowd of one, drawn in another process."""
    draw_crowd(tmp_path_factory.mktemp("crowd"), "stills", range(4, 6), workers=2)
    return tmp_path_factory.getbasetemp() / "crowd0" / "stills"


def test_a_person_shows_every_emotion_twice():
    sitting = person()
    assert sitting.images.shape == (len(EMOTIONS), TAKES, FRAMES, SIZE, SIZE, 3)
    assert (sitting.levels[0] == 1).all() and (
        np.sort(sitting.levels[1:], 1)[:, 0] < np.sort(sitting.levels[1:], 1)[:, 1]
    ).all()
    theta = sitting.coefficients
    assert theta.shape == (len(EMOTIONS), TAKES, FRAMES, 257) and np.isfinite(theta).all()
    assert np.ptp(theta[..., :80], axis=(0, 1, 2)).max() == 0, "one head"
    apart = np.abs(sitting.images[:, 0].astype(int) - sitting.images[:, 1]).mean()
    assert apart > 15, "the second take is in another light and skin"


def test_the_crowd_is_the_same_in_other_processes_and_kept(folder, monkeypatch):
    with np.load(folder / "000005.npz") as file:
        assert all(np.array_equal(file[name], getattr(person(), name)) for name in file.files)
    monkeypatch.setattr(kept, "each", lambda _, jobs, **__: pytest.fail("drawn again") if jobs else iter(()))
    draw_crowd(folder.parent, "stills", range(4, 6))
    (folder / "made.txt").write_text("by other code")
    with pytest.raises(pytest.fail.Exception, match="drawn again"):
        draw_crowd(folder.parent, "stills", range(4, 6))
    assert not list(folder.glob("*.npz"))


def test_a_bank_of_the_crowd_trains_a_net(tmp_path):
    stills = tmp_path / "stills"
    stills.mkdir()
    (stills / "made.txt").write_text("here")
    np.savez(stills / "000005.npz", **vars(person()))
    people = People(stills, 5, 1)
    bank = crowd_bank(people, 0)
    assert bank.images.shape == bank.composites.shape == bank.recast.shape == (16, FRAMES, 3, 96, 96)
    assert bank.emotion.tolist() == [k for k in range(8) for _ in range(TAKES)]
    assert bank.intensity.tolist() == person().levels.reshape(-1).tolist()
    training = CrowdEmotion(kind="efd", people=people, steps=12, batch_size=8, lr=2e-3, seed=0)
    assert (
        training.fingerprint()
        == CrowdEmotion(kind="efd", people=people, steps=12, batch_size=8, lr=2e-3, seed=0).fingerprint()
    )
    history = Loop(training.prepare(), checkpoints=tmp_path, log_every=1, device="cpu").run()
    assert np.isfinite([row["loss"] for row in history]).all()
    training.save(tmp_path / "net.safetensors")
    again = CrowdEmotion(
        kind="efd", people=people, parent=tmp_path / "net.safetensors", steps=1, batch_size=8, lr=2e-3, seed=0
    ).prepare()
    saved = EmotionNet.load(tmp_path / "net.safetensors").state_dict()
    assert all(torch.equal(v, saved[k]) for k, v in again.models["emotion_efd"]["net"].state_dict().items())


def test_fits_are_the_truth_a_little_off_and_mostly_flatter():
    theta = Coefficients.zeros(400).replace(beta=torch.full((400, 64), 2.0))
    fitted = as_fitted(theta, np.random.default_rng(0))
    assert fitted.beta.mean() == pytest.approx(2 * np.mean(SHRUNK), rel=0.02) and torch.equal(fitted.gamma, theta.gamma)
    assert 0.2 < fitted.alpha.std() < 0.3


def test_people_are_every_second_one():
    assert People(PRETRAINED, 7, 3).numbers == [7, 9, 11] and People(PRETRAINED, 7, 3, 1).numbers == [7, 8, 9]
    assert [path.name for path in People(PRETRAINED, 7, 2).files] == ["000007.npz", "000009.npz"]


def test_voices_and_sentences_of_the_crowd_are_in_no_corpus():
    corpora = {name for names in speech.VOICES.values() for name in names}
    own = {name for names in ESPEAK.values() for name in names}
    assert not own & corpora
    rng = np.random.default_rng(0)
    said = {sentence(rng) for _ in range(400)}
    assert len(said) > 350 and not said & set(speech.SENTENCES)
    assert sum(text.split()[1] in ("captain", "quiet") for text in said) < 20, "most words are invented"
    assert all(2 <= len(invented(rng).split()) <= 8 for _ in range(100))
    voices = {voice_of(number, "female", rng) for number in range(40)}
    assert voices <= own | {f"{a}+{b}" for a in NATURAL["female"] for b in NATURAL["female"]} | set(NATURAL["female"])
    assert all(set(NATURAL[sex]) < set(natural.VOICES[sex]) for sex in natural.VOICES)


def test_windows_lie_about_the_middle_of_their_frame():
    """Feature j speaks of j / 50 s, frame t of (t + 1/2) / 25 s: of feature 2 t + 1."""
    features = torch.arange(40.0)[:, None].expand(40, WIDTH)
    mouths = torch.arange(20, dtype=torch.uint8)[:, None, None].expand(20, 48, 64)
    assert inside(mouths).tolist() == list(range(4, 16))
    seen, heard = cut_windows(mouths, features, torch.tensor([4, 8, 15]))
    assert heard.shape == (3, TOKENS, WIDTH) and heard[1, :, 0].tolist() == list(range(12, 22))
    assert cut_windows(mouths, features[:30], torch.tensor([15]))[1][0, -1, 0] == 29, "the last one is repeated"
    assert (seen[0, :, 0, 0] * 255).tolist() == pytest.approx(list(range(VIDEO)))


def test_the_area_under_the_curve_by_hand():
    sure, blind = np.ones((12, 12)) - np.eye(12), np.ones((12, 12))
    assert sync_auc([sure], seed=0) == 1 and sync_auc([blind], seed=0) == 0.5 and sync_auc([-sure], seed=0) == 0


def moving_mouth(count=60):
    """A mouth that opens with the loudness of a tone: frames (T, 64, 64, 3) and audio."""
    rng = np.random.default_rng(0)
    open_ = np.abs(np.convolve(rng.normal(size=count + 8), np.ones(5) / 5, "same"))[:count]
    frames = np.full((count, 64, 64, 3), 150, np.uint8)
    for t, amount in enumerate(open_):
        frames[t, 48 : 49 + int(10 * amount), 24:40] = 20
    time = np.arange(count * 640) / 16000
    return frames, (0.3 * np.interp(time * 25 - 0.5, np.arange(count), open_) * np.sin(2 * np.pi * 300 * time)).astype(
        np.float32
    )


def test_syncnet_looks_at_clips_of_any_rate_and_refuses_short_ones(tmp_path):
    frames, audio = moving_mouth()
    net = SyncNet().eval()
    video, sound = net.embed(frames, audio)
    assert video.shape == sound.shape == (60 - VIDEO + 1, 128) and np.allclose(
        np.linalg.norm(video, axis=1), 1, atol=1e-5
    )
    assert len(net.embed(frames.repeat(2, 0), audio, 50)[0]) == len(video)
    assert isinstance(net.confidence(frames, audio)[1], int)
    with pytest.raises(EmolibError, match="the clip has 8 frames at 25 fps"):
        net.embed(frames[:8], audio[: 8 * 640])
    path = save_weights(tmp_path / "x.safetensors", {}, {"dim": 128})
    with pytest.raises(EmolibError, match="something else than a SyncNet"):
        SyncNet.load(path)


def test_syncnet_learns_a_mouth_that_opens_with_the_sound(tmp_path):
    frames, audio = moving_mouth()
    np.savez(tmp_path / "000000.npz", mouths=mouth_window(frames).numpy()[None], audio=audio[None])
    (tmp_path / "made.txt").write_text("here")
    training = CrowdSync(people=People(tmp_path, 0, 1, 1), steps=60, batch_size=32, lr=1e-3, seed=0).prepare()
    history = Loop(training, checkpoints=tmp_path, log_every=5, device="cpu").run()
    assert np.mean([row["loss"] for row in history[-3:]]) < 0.7 * np.mean([row["loss"] for row in history[:3]])


def test_what_ships_is_whole_and_met_nobody():
    manifest = verify(JUDGES, [f"{name}.safetensors" for name in NAMES])
    assert manifest["seed_of_the_crowd"] == SEED and SEED not in range(100_000)
    assert not set(manifest["sentences"]) & set(speech.SENTENCES) and len(manifest["sentences"]) > 100
    met = {name for said in manifest["voices"] for name in said.split("+" if said[0] in "ab" else " ")}
    assert not met & {
        name for names in (*speech.VOICES.values(), *natural.TRAIN.values(), *natural.TEST.values()) for name in names
    }
    parity = {name: int(judge["learnt from"].split()[-1]) % 2 for name, judge in manifest["judges"].items()}
    assert parity["emotion_efd"] == 1 and parity["emotion_loss"] == parity["clip"] == 0, "they share nobody"
    for name in ("emotion_loss", "emotion_efd", "clip"):
        assert "every 2. from number" in manifest["judges"][name]["learnt from"]


def test_a_stage_gets_the_judges_or_a_sentence(tmp_path, monkeypatch):
    ship(tmp_path)
    found = {path.stem: path.read_bytes() for path in tmp_path.iterdir()}
    assert found == {path.stem: path.read_bytes() for path in FILES[:-1]} and set(hashes(tmp_path)) == set(NAMES)
    broken = tmp_path / "broken"
    broken.mkdir()
    for path in FILES:
        (broken / path.name).write_bytes(path.read_bytes())
    (broken / "sync.safetensors").write_bytes(b"cut off")
    monkeypatch.setattr("emolib.critics.shipped.FILES", tuple(broken / path.name for path in FILES))
    with pytest.raises(EmolibError, match="sync.safetensors are damaged"):
        ship(tmp_path / "other")


@pytest.mark.parametrize("kind", ["loss", "efd"])
def test_the_judges_see_a_stranger(kind):
    """Frames of one new person, their own look: well above the .125 of guessing."""
    images = torch.from_numpy(sit_for_judges(crowd_studio(SIZE), 900_000 + (kind == "efd")).images[:, 0])
    truth = torch.arange(len(EMOTIONS)).repeat_interleave(FRAMES)
    answer = EmotionNet.load(JUDGES / f"emotion_{kind}.safetensors")(
        images.flatten(0, 1).permute(0, 3, 1, 2).float() / 255
    ).argmax(1)
    assert (answer == truth).float().mean() > 0.5
