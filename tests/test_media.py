"""Sound and video: files read back, independent references, bad files."""

import wave
from fractions import Fraction

import librosa
import numpy as np
import pytest

from emolib.errors import EmolibError
from emolib.files import check_output
from emolib.media.audio import (
    SAMPLE_RATE,
    check_audio,
    decode_audio,
    frame_count,
    load_audio,
    mel,
    mel_windows,
    resample,
    save_wav,
)
from emolib.media.video import VideoWriter, iter_video, read_video, video_info

RATES = [Fraction(25), Fraction(30000, 1001)]


def tone(seconds: float, hertz: float = 440.0) -> np.ndarray:
    return (0.3 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE)).astype(np.float32)


def moving_ramp(n: int, height: int, width: int) -> np.ndarray:
    """Frames that all differ, smooth enough for a codec to keep."""
    y, x, t = np.mgrid[:height, :width, :n].transpose(0, 3, 1, 2)
    return np.stack([40 + 4 * t, 60 + 120 * x / width, 80 + 120 * y / height], -1).astype(np.uint8)


def test_wav_round_trip(tmp_path):
    audio = tone(0.5)
    path = save_wav(tmp_path / "a.wav", audio)
    np.testing.assert_allclose(load_audio(path), audio, atol=1 / 32000)
    assert [p.name for p in tmp_path.iterdir()] == ["a.wav"]


def test_mel_is_librosas():
    audio = tone(0.7) + 0.1 * np.random.default_rng(0).standard_normal(11200).astype(np.float32)
    amplitude = librosa.feature.melspectrogram(
        y=audio, sr=16000, n_fft=1280, hop_length=160, n_mels=80, fmin=55, fmax=7600, power=1.0
    )
    expected = (20 * np.log10(np.maximum(amplitude.T, 1e-4)) + 30) / 40
    assert mel(audio).shape == (1 + 11200 // 160, 80)
    np.testing.assert_allclose(mel(audio), expected, atol=1e-3)


def test_mel_of_silence_is_the_floor():
    assert np.all(mel(np.zeros(1600)) == np.float32(-1.25))


def test_mel_windows_by_hand():
    ramp = np.repeat(np.arange(40.0)[:, None], 80, 1)
    windows = mel_windows(ramp, 10, Fraction(25), 4)  # middles at 2, 6, 10, ... mel frames
    assert windows.shape == (10, 4, 80)
    assert windows[1, :, 0].tolist() == [4, 5, 6, 7]
    assert mel_windows(ramp, 1, 25, 8)[0, :, 0].tolist() == [0, 0, 0, 1, 2, 3, 4, 5]
    np.testing.assert_array_equal(mel_windows(ramp, 3, 25, 4, start=5), windows[5:8])


def test_frame_count_by_hand():
    assert frame_count(16000 * 3, 25) == 75
    assert frame_count(10, 25) == 1
    assert frame_count(16016, Fraction(30000, 1001)) == 30


def test_resample_keeps_the_tone():
    up = resample(tone(1.0), 16000, 48000)
    assert abs(len(up) - 48000) <= 48
    assert np.argmax(np.abs(np.fft.rfft(up[:48000]))) * 48000 / len(up[:48000]) == pytest.approx(440, abs=2)


@pytest.mark.parametrize("fps", RATES)
@pytest.mark.parametrize("n_frames", [1, 31, 40])
def test_product_lengths_and_rate(tmp_path, fps, n_frames):
    """Sound longer or shorter than the pictures: both streams end together, the rate is exact, the size is even."""
    path = tmp_path / "out.mp4"
    with VideoWriter(path, fps, (63, 65), audio=tone(1.25)) as video:
        for frame in moving_ramp(n_frames, 65, 63):
            video.write(frame)
    info = video_info(path)
    assert (info.fps, info.n_frames, info.width, info.height) == (fps, n_frames, 64, 66)
    assert abs(info.duration - n_frames / fps) < 1e-3
    assert abs(info.duration - info.audio_duration) < 1 / fps
    assert len(read_video(path)) == n_frames
    assert abs(len(decode_audio(path)) / SAMPLE_RATE - n_frames / fps) < 1 / fps


def test_sound_is_in_step(tmp_path):
    """A click in the middle comes back where it was: the encoder's delay is taken off."""
    audio = np.zeros(SAMPLE_RATE, np.float32)
    audio[8000:8160] = 0.8
    with VideoWriter(tmp_path / "a.mp4", 25, 32, audio=audio) as video:
        for frame in moving_ramp(25, 32, 32):
            video.write(frame)
    assert np.abs(np.argmax(np.abs(decode_audio(tmp_path / "a.mp4")) > 0.4) - 8000) < 40


@pytest.mark.parametrize("lossless", [True, False])
def test_pictures_come_back(tmp_path, lossless):
    frames = moving_ramp(30, 64, 48)
    with VideoWriter(tmp_path / "a.mp4", 25, (48, 64), lossless=lossless) as video:
        for frame in frames:
            video.write(frame)
    back = read_video(tmp_path / "a.mp4").astype(int)
    assert np.abs(back - frames).mean() < (2 if lossless else 4)
    picked = [29, 3, 3, 17, 0]
    np.testing.assert_array_equal(read_video(tmp_path / "a.mp4", picked), back[picked])
    assert sum(1 for _ in iter_video(tmp_path / "a.mp4")) == 30
    with pytest.raises(IndexError):
        read_video(tmp_path / "a.mp4", [30])


def test_unfinished_video_leaves_nothing(tmp_path):
    with pytest.raises(RuntimeError), VideoWriter(tmp_path / "a.mp4", 25, 32, audio=tone(1)) as video:
        video.write(moving_ramp(1, 32, 32)[0])
        raise RuntimeError("killed")
    with pytest.raises(ValueError), VideoWriter(tmp_path / "a.mp4", 25, 32) as video:
        pass
    with pytest.raises(ValueError), VideoWriter(tmp_path / "a.mp4", 25, 32) as video:
        video.write(np.zeros((30, 32, 3), np.uint8))
    assert not list(tmp_path.iterdir())


def write_pcm(path, samples):
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 16000, 0, "NONE", ""))
        file.writeframes(samples.astype("<i2").tobytes())
    return path


def test_bad_audio(tmp_path):
    (tmp_path / "empty.wav").write_bytes(b"")
    (tmp_path / "text.wav").write_text("not a sound at all\n" * 50)
    write_pcm(tmp_path / "header.wav", np.zeros(0))
    write_pcm(tmp_path / "silent.wav", np.random.default_rng(0).integers(-3, 4, 16000))
    with VideoWriter(tmp_path / "mute.mp4", 25, 32) as video:
        video.write(moving_ramp(1, 32, 32)[0])
    for name, said in [
        ("absent.wav", "no audio file"),
        ("empty.wav", "empty"),
        ("text.wav", "not audio"),
        ("header.wav", "empty"),
        ("silent.wav", "silent"),
        ("mute.mp4", "no sound"),
    ]:
        with pytest.raises(EmolibError, match=said):
            load_audio(tmp_path / name)
    for array, said in [(np.zeros((2, 9)), "channel"), (np.full(999, np.nan), "finite"), (np.zeros(999), "silent")]:
        with pytest.raises(EmolibError, match=said):
            check_audio(array)


def test_bad_video_and_output(tmp_path):
    (tmp_path / "text.mp4").write_text("not a video\n" * 50)
    save_wav(tmp_path / "sound.wav", tone(0.1))
    for name, said in [("absent.mp4", "no video"), ("text.mp4", "not a video"), ("sound.wav", "no pictures")]:
        with pytest.raises(EmolibError, match=said):
            video_info(tmp_path / name)
    for path in (tmp_path, tmp_path / "text.mp4" / "out.mp4"):
        with pytest.raises(EmolibError, match="folder"):
            check_output(path)


def test_two_equal_channels_are_as_loud_as_one(tmp_path):
    sound = (12000 * np.sin(np.arange(16000) / 9)).astype("<i2")
    for name, channels in (("one", 1), ("two", 2)):
        with wave.open(str(tmp_path / f"{name}.wav"), "wb") as file:
            file.setparams((channels, 2, 48000, 0, "NONE", ""))
            file.writeframes(np.repeat(sound, channels).tobytes())
    one, two = (decode_audio(tmp_path / f"{name}.wav") for name in ("one", "two"))
    np.testing.assert_allclose(two, one, atol=1e-4)
