"""Media as people have them: names that look like addresses, times that are not even, sound in every layout, files that are damaged."""

import ast
import http.server
import io
import re
import threading
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from emolib.corpus import convert as conversion
from emolib.errors import EmolibError
from emolib.media import sound
from emolib.media.audio import LogMel, decode_audio, load_audio, mel, save_wav
from emolib.media.opening import open_media
from emolib.media.sound import samples_of
from emolib.media.soundtrack import Soundtrack
from emolib.media.video import VideoWriter, iter_at_rate, iter_video, read_video, video_info
from emolib.media.voice import read_voice

ROOT = Path(__file__).resolve().parent.parent
RATE = 48000


def level(audio):
    return 10 * np.log10(np.mean(np.square(audio, dtype=np.float64)) + 1e-20)


def tone(seconds=1.0, rate=RATE, amplitude=0.1):
    return (amplitude * np.sin(2 * np.pi * 440 * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def write_sound(path, channels, layout, rate=RATE, codec=None, start=0.0):
    """``channels`` (c, n) float as a file of its ending's kind; the first sample at ``start`` s."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(
            codec or {".wav": "pcm_s16le", ".mp3": "mp3", ".flac": "flac"}.get(path.suffix, "aac"),
            rate=rate,
            layout=layout,
        )
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(channels, np.float32), format="fltp", layout=layout)
        frame.sample_rate, frame.pts, frame.time_base = rate, round(start * rate), Fraction(1, rate)
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def write_video(path, times, base=1000, clicks=(), start=0.0, size=64, fps=25):
    """A grey video: frame k, of level 8 k + 16 (k from 0 to 27, and again), is shown at ``times[k]`` (in 1 / base s).

    clicks: s, in a sound that starts at ``start`` s.
    """
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=fps, options={"crf": "5", "bf": "0"})
        video.width = video.height = size
        video.pix_fmt, video.codec_context.time_base = "yuv420p", Fraction(1, base)
        audio = (
            container.add_stream("pcm_s16le" if path.suffix == ".mkv" else "aac", rate=RATE, layout="mono")
            if clicks
            else None
        )
        for k, moment in enumerate(times):
            frame = av.VideoFrame.from_ndarray(np.full((size, size, 3), 8 * (k % 28) + 16, np.uint8), format="rgb24")
            frame.pts, frame.time_base = moment, Fraction(1, base)
            container.mux(video.encode(frame.reformat(format="yuv420p")))
        container.mux(video.encode(None))
        if audio:
            samples = np.zeros(round((times[-1] / base + 0.04 - start) * RATE), np.float32)
            for click in clicks:
                samples[round((click - start) * RATE)] = 0.9
            frame = av.AudioFrame.from_ndarray(samples[None], format="flt", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = RATE, round(start * RATE), Fraction(1, RATE)
            container.mux(audio.encode(frame))
            container.mux(audio.encode(None))
    return path


def numbers(frames):
    return [round((float(np.median(frame)) - 16) / 8) for frame in frames]


# Names ---------------------------------------------------------------------------------------------------------------


def test_only_one_module_opens_media_to_read():
    users = {}
    for path in (*(ROOT / "emolib").rglob("*.py"), *(ROOT / "synthface").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "av.open":
                users.setdefault(path.name, []).append(ast.unparse(node))
    assert set(users) == {"opening.py", "video.py"} and all("'w'" in call for call in users["video.py"])


@pytest.mark.parametrize(
    "name", ["12:30.wav", "a:b.wav", "concat:a|b.wav", "%d.wav", "-x.wav", "file:x.wav", "ä ö.wav", "pipe:0"]
)
def test_a_name_is_a_name(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_wav(Path("a.wav"), tone(0.5, 16000))
    Path("a.wav").rename(name)
    assert decode_audio(name).tobytes() == decode_audio(Path(name).absolute()).tobytes() != b""


def test_nothing_is_fetched(tmp_path, monkeypatch):
    asked = []

    class Server(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_error(404)

        def log_message(self, *_):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Server) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.chdir(tmp_path)
        address = f"http:/127.0.0.1:{server.server_port}/x.wav"
        Path(address).parent.mkdir(parents=True)
        save_wav(Path(address), tone(0.2, 16000))
        assert len(decode_audio(address)) == 3200
        Path("list.m3u8").write_text(f"#EXTM3U\n#EXTINF:1,\n{address.replace('http:/', 'http://')}\n#EXT-X-ENDLIST\n")
        with pytest.raises(EmolibError, match="not audio that can be decoded"):
            decode_audio("list.m3u8")
        server.shutdown()
    assert asked == []


def test_playlists_are_no_media(tmp_path):
    save_wav(tmp_path / "a.wav", tone(0.2, 16000))
    (tmp_path / "c.ffconcat").write_text("ffconcat version 1.0\nfile a.wav\n")
    (tmp_path / "l.m3u8").write_text("#EXTM3U\n#EXTINF:1,\na.wav\n#EXT-X-ENDLIST\n")
    (tmp_path / "s.sdp").write_text(
        "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 5004 RTP/AVP 0\n"
    )
    for name in ("c.ffconcat", "l.m3u8", "s.sdp"):
        with pytest.raises(EmolibError, match=f"{name} is not audio that can be decoded"):
            open_media(tmp_path / name, "audio", "give another")


# Time ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fps", "frames", "expected"),
    [
        (Fraction(30), 6, [0, 1, 3, 4, 5]),
        (Fraction(25), 4, [0, 1, 2, 3]),
        (Fraction(12), 3, [0, 0, 1, 1, 2, 2]),
        (Fraction(50), 8, [1, 3, 5, 7]),
    ],
)
@pytest.mark.parametrize("ending", ["mp4", "mkv"])
def test_the_frame_shown_at_each_middle_by_hand(tmp_path, fps, frames, expected, ending):
    """25 fps from a constant rate: middles at .02, .06, .10, .14, .18 s; at 30 fps frame 3 begins at .1 s."""
    path = tmp_path / f"x.{ending}"
    base = 15000 if ending == "mp4" else 1000
    write_video(path, [round(k * base / fps) for k in range(frames)], base, fps=fps)
    got = numbers(iter_at_rate(path, 25))
    assert got == expected or (
        ending == "mkv" and got[: len(expected) - 1] == expected[:-1]
    )  # mkv tells no length of its last frame


def test_a_variable_rate_is_timed_not_counted(tmp_path):
    """Ten frames of 20 ms, a pause of .4 s on frame 9, ten of 40 ms."""
    times = [20 * k for k in range(10)] + [580 + 40 * k for k in range(10)]
    path = write_video(tmp_path / "x.mp4", times)
    by_hand = [max(k for k, t in enumerate(times) if t <= 40 * i + 20) for i in range((times[-1] + 40) // 40)]
    got = numbers(iter_at_rate(path, 25))
    assert got[: len(by_hand) - 1] == by_hand[:-1] and abs(len(got) - len(by_hand)) <= 1
    assert got.count(9) == 10 and numbers(iter_video(path)) == list(range(20))


@pytest.mark.parametrize("start", [0.0, 0.4])
@pytest.mark.parametrize("ending", ["mkv", "mp4"])
def test_a_late_sound_stays_in_time_with_the_pictures(tmp_path, start, ending):
    path = write_video(tmp_path / f"x.{ending}", [40 * k for k in range(50)], clicks=(1.0,), start=start)
    own = decode_audio(path)
    audio = decode_audio(path, since=video_info(path).start)
    assert np.abs(audio).argmax() / 16000 == pytest.approx(1.0, abs=0.003)
    assert len(audio) - len(own) == pytest.approx(
        start * 16000, abs=16 if ending == "mkv" else 400
    )  # AAC begins a packet early


def test_a_sound_that_begins_before_the_pictures_is_cut(tmp_path):
    path = write_sound(tmp_path / "x.mkv", np.eye(1, RATE, RATE // 2, dtype=np.float32), "mono", codec="pcm_s16le")
    audio = decode_audio(path, since=0.2)
    assert np.abs(audio).argmax() / 16000 == pytest.approx(0.3, abs=0.002) and len(audio) == pytest.approx(
        12800, abs=20
    )


def test_a_gap_in_the_sound_is_silence(tmp_path):
    path = tmp_path / "x.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=RATE, layout="mono")
        for start in (0.0, 1.5):
            frame = av.AudioFrame.from_ndarray(tone(0.5)[None], format="flt", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = RATE, round(start * RATE), Fraction(1, RATE)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    audio = decode_audio(path)
    assert len(audio) == pytest.approx(32000, abs=40)
    assert level(audio[9000:23000]) < -90 and level(audio[24500:31000]) == pytest.approx(level(tone()), abs=0.2)


@pytest.mark.parametrize(("degrees", "matrix"), [(90, (0, 1, -1, 0)), (180, (-1, 0, 0, -1)), (270, (0, -1, 1, 0))])
def test_a_phones_rotation_is_undone(tmp_path, degrees, matrix):
    """The matrix in the track header that says: turn by so much, clockwise, to see it upright."""
    path = tmp_path / "x.mp4"
    upright = np.zeros((64, 96, 3), np.uint8)
    upright[:20, :30] = 255  # the upper left corner is white
    stored = np.rot90(upright, degrees // 90).copy()
    with VideoWriter(path, 25, (stored.shape[1], stored.shape[0])) as video:
        for _ in range(3):
            video.write(stored)
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4 + 40
    a, b, c, d = (value * 65536 for value in matrix)
    for place, value in zip((0, 4, 12, 16), (a, b, c, d)):
        data[at + place : at + place + 4] = int(value).to_bytes(4, "big", signed=True)
    path.write_bytes(data)
    seen = next(iter_video(path))
    assert seen.shape == upright.shape and np.abs(seen.astype(int) - upright).mean() < 4
    assert np.abs(read_video(path, [1])[0].astype(int) - upright).mean() < 4


# Sound ---------------------------------------------------------------------------------------------------------------


def test_the_centre_of_five_channels_is_as_loud_as_mono(tmp_path):
    channels = np.zeros((6, RATE), np.float32)
    channels[2] = tone()
    surround = decode_audio(write_sound(tmp_path / "c.wav", channels, "5.1"))
    mono = decode_audio(write_sound(tmp_path / "m.wav", tone()[None], "mono"))
    assert level(surround) == pytest.approx(level(mono), abs=0.1)


def test_two_channels_are_averaged_and_opposite_ones_are_told(tmp_path):
    one = tone()
    same = decode_audio(write_sound(tmp_path / "same.wav", np.stack([one, one]), "stereo"))
    half = decode_audio(write_sound(tmp_path / "half.wav", np.stack([one, 0 * one]), "stereo"))
    assert level(same) == pytest.approx(level(one), abs=0.1) and level(half) == pytest.approx(
        level(one) - 6.02, abs=0.1
    )
    notes = []
    against = load_audio(write_sound(tmp_path / "against.wav", np.stack([0.5 * one, -one]), "stereo"), notes=notes)
    assert (
        level(against) == pytest.approx(level(one) - 12.04, abs=0.1) and not notes
    )  # half of it is left: heard as it is
    wrong = load_audio(write_sound(tmp_path / "wrong.wav", np.stack([0.98 * one, -one]), "stereo"), notes=notes)
    assert level(wrong) == pytest.approx(level(one), abs=0.1)
    assert notes == ["the two channels of wrong.wav cancel each other; the right one is taken"]


@pytest.mark.parametrize("kind", ["int16", "int32", "uint8", "float32", "float64"])
def test_arrays_are_taken_by_their_type(kind):
    whole = {"int16": 32768, "int32": 2**31, "uint8": 128}.get(kind, 1)
    given = np.array([-0.5, 0.0, 0.25]) * whole + (128 if kind == "uint8" else 0)
    assert samples_of(given.astype(kind)).tolist() == [-0.5, 0.0, 0.25]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (np.zeros(100, complex), "holds complex128; expected floats"),
        (np.zeros(100, bool), "holds bool"),
        (np.zeros(100, np.int64), "holds int64"),
        (np.zeros((100, 2)), "has shape"),
        (np.full(100, 12000.0), "holds floats up to 12000; expected samples in"),
        (np.array([0, np.nan]), "not finite"),
    ],
)
def test_arrays_that_are_no_sound(given, said):
    with pytest.raises(EmolibError, match=said):
        samples_of(given)


def test_a_quiet_voice_is_a_voice_and_is_raised_for_the_networks(tmp_path):
    quiet = tone(1, 16000, amplitude=10 ** (-61 / 20) * 2**0.5)
    voice = read_voice(quiet)
    assert "is quiet (-61 dBFS); it is raised to -20" in voice.notes[0]
    loud = quiet * 10 ** ((-20 - level(quiet)) / 20)
    assert np.abs(voice.log_mel - mel(loud)).max() < 1e-3 and read_voice(loud).notes == ()
    with pytest.raises(EmolibError, match="silent"):
        read_voice(quiet / 10)


def test_damaged_parts_of_an_mp3_are_left_out_and_counted(tmp_path):
    path = write_sound(tmp_path / "x.mp3", tone(3)[None], "mono")
    data = bytearray(path.read_bytes())
    rng = np.random.default_rng(0)
    for at in range(len(data) // 2, len(data) // 2 + 1500):
        data[at] = rng.integers(256)
    (tmp_path / "bad.mp3").write_bytes(data)
    notes = []
    audio = load_audio(tmp_path / "bad.mp3", notes=notes)
    assert len(notes) == 1 and re.fullmatch(r"\d+ damaged parts? of the sound of bad.mp3 left out", notes[0])
    assert 2.5 * 16000 < len(audio) < 3.2 * 16000 and level(audio[:16000]) == pytest.approx(level(tone()), abs=0.5)


@pytest.mark.parametrize(
    ("rate", "layout"), [(48000, "stereo"), (44100, "stereo"), (22050, "mono"), (8000, "mono"), (48000, "5.1")]
)
def test_the_users_own_track_is_kept(tmp_path, rate, layout):
    count = {"mono": 1, "stereo": 2, "5.1": 6}[layout]
    channels = np.zeros((count, rate), np.float32)
    channels[-1] = tone(1, rate)
    if count == 2:
        channels[0] = tone(1, rate) * 0.25
    path = write_sound(tmp_path / "x.wav", channels, layout, rate)
    with VideoWriter(tmp_path / "o.mp4", 25, 64, audio=Soundtrack.of(path)) as video:
        for _ in range(25):
            video.write(np.zeros((64, 64, 3), np.uint8))
    with av.open(str(tmp_path / "o.mp4")) as container:
        stream = container.streams.audio[0]
        assert stream.rate == max(rate, 16000) and len(stream.layout.channels) == min(count, 2)
        made = np.concatenate([frame.to_ndarray() for frame in container.decode(stream)], axis=1)
    assert made.shape[1] == pytest.approx(max(rate, 16000), abs=2100)
    if count == 2:
        assert level(made[1]) - level(made[0]) == pytest.approx(12.04, abs=0.5)


def test_an_array_in_parts_is_the_array_in_one():
    audio = np.random.default_rng(0).normal(size=400_000).astype(np.float32) * 0.1
    pieces, whole = Soundtrack.of(audio), Soundtrack.of(audio)
    joined = np.concatenate([pieces.read(n) for n in (1, 1919, 100_000, 77, 1_098_003)], axis=1)
    assert joined.tobytes() == whole.read(1_200_000).tobytes()


@pytest.mark.parametrize("parts", [(1,), (160_000, 1, 2), (7, 161_119, 1, 400_000), (100,) * 50])
def test_a_log_mel_in_parts_is_that_of_the_whole(parts):
    rng = np.random.default_rng(0)
    audio = rng.normal(size=sum(parts)).astype(np.float32) * 0.1
    log = LogMel()
    for part in np.split(audio, np.cumsum(parts)[:-1]):
        log.push(part)
    assert log.finish().tobytes() == mel(audio).tobytes()


@pytest.mark.parametrize("suffix", [".m4a", ".ogg", ".flac", ".mkv", ".webm", ".mp3", ".aac", ".avi"])
def test_other_containers(tmp_path, suffix):
    codec = {".ogg": "libopus", ".webm": "libopus", ".mkv": "libopus", ".avi": "mp3"}.get(suffix)
    path = write_sound(tmp_path / f"x{suffix}", np.stack([tone(), tone()]), "stereo", codec=codec)
    audio = load_audio(path)
    assert len(audio) == pytest.approx(16000, abs=1600) and level(audio[2000:14000]) == pytest.approx(
        level(tone()), abs=0.5
    )


@pytest.mark.parametrize("second", [(22050, "mono"), (44100, "stereo"), (48000, "stereo")])
def test_recordings_that_were_joined(tmp_path, second):
    """An mp3 whose second half has another rate and other channels, as `cat a.mp3 b.mp3` makes it."""
    rate, layout = second
    one = write_sound(tmp_path / "a.mp3", tone(1, 44100)[None], "mono", 44100)
    channels = np.repeat(tone(1, rate)[None], 2 if layout == "stereo" else 1, 0)
    two = write_sound(tmp_path / "b.mp3", channels, layout, rate)
    (tmp_path / "ab.mp3").write_bytes(one.read_bytes() + two.read_bytes())
    audio = load_audio(tmp_path / "ab.mp3")
    assert len(audio) == pytest.approx(32000, abs=3500) and level(audio[-12000:-4000]) == pytest.approx(
        level(tone()), abs=0.5
    )


def test_a_frame_that_comes_a_day_late_is_damage(tmp_path):
    path = write_video(tmp_path / "x.mkv", [0, 40, 80, 86_400_000])
    with pytest.raises(EmolibError, match="jump from .* to 86400.0 s; it is damaged"):
        list(iter_at_rate(path, 25))


def test_an_albums_cover_is_no_video(tmp_path):
    path = tmp_path / "x.mp3"
    write_sound(path, tone()[None], "mono")
    cover = io.BytesIO()
    Image.new("RGB", (64, 64), "red").save(cover, "JPEG")
    body = b"\0image/jpeg\0\x03\0" + cover.getvalue()
    frame = b"APIC" + len(body).to_bytes(4, "big") + b"\0\0" + body
    size = bytes((len(frame) >> shift) & 127 for shift in (21, 14, 7, 0))
    path.write_bytes(b"ID3\x03\0\0" + size + frame + path.read_bytes())
    assert len(load_audio(path)) == pytest.approx(16000, abs=1700)
    with pytest.raises(EmolibError, match="holds no pictures"):
        video_info(path)


# Damage --------------------------------------------------------------------------------------------------------------


def test_a_take_whose_sound_is_late_is_converted_in_time(tmp_path, monkeypatch):
    path = write_video(tmp_path / "x.mkv", [40 * k for k in range(50)], clicks=(1.0,), start=0.4)
    monkeypatch.setattr(
        conversion, "look", lambda *_: np.repeat(np.random.default_rng(0).normal(32, 9, (1, 68, 2)), 9, 0)
    )
    take = conversion.Take("mead", "x", "M000", "happy", 1, path)
    frames, audio = conversion.convert(take, 64)
    assert len(frames) in (49, 50) and np.abs(audio).argmax() / 16000 == pytest.approx(1.0, abs=0.003)


def test_a_file_that_ends_early(tmp_path):
    path = write_sound(tmp_path / "x.mp3", tone(2)[None], "mono")
    for part in (0.02, 0.3, 0.9):
        cut = tmp_path / f"{part}.mp3"
        cut.write_bytes(path.read_bytes()[: int(part * path.stat().st_size)])
        try:
            assert len(decode_audio(cut)) < 2.1 * 16000
        except EmolibError as error:
            assert str(cut) in str(error)


def test_shapes_of_blocks(tmp_path):
    path = write_sound(tmp_path / "x.wav", np.stack([tone(), tone()]), "stereo")
    blocks = list(sound.channel_blocks(path, 16000))
    assert all(block.shape[0] == 2 and block.dtype == np.float32 for block in blocks)
