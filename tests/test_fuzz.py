"""Damaged files of every kind through the readers: an answer or one sentence, no crash, no file changed or left, no memory gone.

python tests/test_fuzz.py FOLDER KIND SEED CASES        one child: mutates FOLDER's samples and prints what came of it, as JSON
"""

import contextlib
import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

CHECK = bool(os.environ.get("EMOLIB_CHECK"))
KINDS = ("wav", "mp3", "mp4", "png", "jpg", "npz", "safetensors", "yaml")
CASES = (10_000 if CHECK else 200) // len(KINDS)
LIMIT = 3 * 2**30  # bytes a child may hold


def samples(folder: Path) -> None:
    """One whole, small file of each kind."""
    import av
    import numpy as np
    import torch
    from PIL import Image

    from emolib.face.model import Coefficients
    from emolib.media.audio import save_wav
    from emolib.media.video import VideoWriter
    from emolib.params import as_yaml
    from emolib.weights import save_weights

    chance = np.random.default_rng(0)
    sound = (0.3 * np.sin(np.arange(8000) / 9)).astype(np.float32)
    save_wav(folder / "sample.wav", sound)
    with av.open(str(folder / "sample.mp3"), "w") as container:
        stream = container.add_stream("mp3", rate=16000, layout="mono")
        frame = av.AudioFrame.from_ndarray(sound[None], format="fltp", layout="mono")
        frame.sample_rate = 16000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    picture = chance.integers(0, 256, (6, 8, 3), np.uint8).repeat(8, 0).repeat(8, 1)
    for kind in ("png", "jpg"):
        Image.fromarray(picture).save(folder / f"sample.{kind}")
    with VideoWriter(folder / "sample.mp4", 25, (64, 48), audio=sound) as video:
        for i in range(12):
            video.write(np.roll(picture, i, axis=1))
    zeros = Coefficients.zeros(3)
    np.savez_compressed(folder / "sample.npz", **{k: getattr(zeros, k).numpy() for k in zeros.__dataclass_fields__})
    save_weights(folder / "sample.safetensors", {"a": torch.zeros(40, 40), "b": torch.arange(9)}, {"size": 3})
    (folder / "sample.yaml").write_text(as_yaml())


def mutated(content: bytes, chance: random.Random) -> bytes:
    """Bits flipped, an end cut off, blocks swapped or zeroed; one to three of them, half of them in the header."""
    data = bytearray(content)
    for _ in range(chance.randint(1, 3)):
        size = len(data)
        if size < 8:
            break
        reach = min(size, 256) if chance.random() < 0.5 else size
        at, width = chance.randrange(reach), chance.randint(1, max(1, size // 8))
        match chance.choice(("flip", "flip", "cut", "swap", "zero")):
            case "flip":
                for _ in range(chance.choice((1, 1, 8, 64))):
                    data[chance.randrange(reach)] ^= 1 << chance.randrange(8)
            case "cut":
                del data[at:]
            case "swap":
                other = chance.randrange(size)
                data[at : at + width], data[other : other + width] = data[other : other + width], data[at : at + width]
            case "zero":
                data[at : at + width] = bytes(len(data[at : at + width]))
    return bytes(data)


def readers(kind: str):
    """What the project reads such a file with."""
    from emolib.face.model import Coefficients
    from emolib.media.audio import load_audio
    from emolib.media.pictures import load_image
    from emolib.media.soundtrack import Soundtrack
    from emolib.media.video import iter_at_rate, read_video, video_info
    from emolib.media.voice import read_voice
    from emolib.params import load_params
    from emolib.weights import load_weights

    def timed(path):
        return list(iter_at_rate(path, 25))

    def track(path):
        return Soundtrack.of(path).read(48000)

    return {
        "wav": [load_audio, read_voice, track], "mp3": [load_audio, read_voice, track],
        "mp4": [load_audio, video_info, read_video, timed, track],
        "png": [load_image], "jpg": [load_image], "npz": [Coefficients.load], "safetensors": [load_weights],
        "yaml": [load_params],
    }[kind]  # fmt: skip


def tried(path: Path, read) -> str:
    """'' if it was read or refused in one sentence, else what went wrong."""
    from emolib.errors import EmolibError

    before = path.read_bytes(), sorted(os.listdir(path.parent))
    fault = ""
    try:
        read(path)
    except EmolibError as error:
        if not str(error) or "\n" in str(error):
            fault = f"not one sentence: {error}"
    except Exception as error:
        fault = f"{type(error).__name__}: {error}"
    if before != (path.read_bytes(), sorted(os.listdir(path.parent))):
        fault += " changed files"
    return fault


def limit_memory() -> None:
    with contextlib.suppress(ImportError, ValueError):
        import resource

        with open("/proc/self/statm") as file:  # what libraries have reserved by now is not the file's doing
            reserved = int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
        resource.setrlimit(resource.RLIMIT_AS, (reserved + LIMIT, reserved + LIMIT))


def child(folder: Path, kind: str, seed: int, cases: int) -> None:
    """Prints the seed of each case before it, so that a crash names its own, then the faults."""
    import logging

    import av

    av.logging.set_level(av.logging.PANIC)
    logging.disable()
    content, path, faults = (folder / f"sample.{kind}").read_bytes(), folder / kind / f"case.{kind}", {}
    path.parent.mkdir(exist_ok=True)
    for read in readers(kind):
        assert not tried(folder / f"sample.{kind}", read)
    limit_memory()
    for case in range(seed, seed + cases):
        print(case, file=sys.stderr, flush=True)
        path.write_bytes(mutated(content, random.Random(f"{kind} {case}")))
        for read in readers(kind):
            if fault := tried(path, read):
                faults[f"{kind} {case} {read.__name__}"] = fault
    print(json.dumps(faults))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    samples(folder)
    return folder


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_files(whole, kind):
    command = [sys.executable, "-W", "ignore", __file__, str(whole), kind, "0", str(CASES)]
    environment = os.environ | {"PYTHONPATH": ":".join(sys.path), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", env=environment, timeout=1800)
    assert done.returncode == 0, f"{kind}: code {done.returncode} after case {done.stderr[-600:]}"
    assert not json.loads(done.stdout.splitlines()[-1])


if __name__ == "__main__":
    child(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
