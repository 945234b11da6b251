"""What a voice takes of memory does not grow with its sound: a file of ten minutes in a process of its own."""

import subprocess
import sys
import wave
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("resource")
ROOT = Path(__file__).resolve().parent.parent
CODE = """
import resource, sys
from emolib.media.voice import read_voice
from emolib.media.soundtrack import Soundtrack
read_voice(sys.argv[1])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
voice = read_voice(sys.argv[2])
track = Soundtrack.of(sys.argv[2])
for _ in range(voice.n_samples * 3 // 48000):
    track.read(48000)
print(voice.n_samples, voice.log_mel.nbytes, 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before))
"""


def write(path, seconds, rate=48000):
    rng = np.random.default_rng(0)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        for _ in range(seconds):
            file.writeframes(rng.integers(-9000, 9000, rate, dtype=np.int16).tobytes())
    return path


def test_ten_minutes_take_little_more_than_their_log_mel(tmp_path):
    short, long = write(tmp_path / "short.wav", 5), write(tmp_path / "long.wav", 600)
    done = subprocess.run(
        [sys.executable, "-c", CODE, short, long], capture_output=True, text=True, cwd=ROOT, check=True
    )
    samples, mel, grown = map(int, done.stdout.split())
    assert samples == pytest.approx(600 * 16000, abs=32) and mel == pytest.approx(600 * 100 * 80 * 4, rel=1e-3)
    assert grown < 2 * mel + 25e6, "38 MB of sound at 16 kHz, 115 MB at 48 kHz, are never held"
