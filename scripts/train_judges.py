"""Makes the frozen judges that ship: two emotion nets and SyncNet, from people, voices and sentences that are in no corpus.

    python scripts/train_judges.py                    hours (2 cores: 2 s a person and take, then half an hour); goes on if interrupted
    python scripts/train_judges.py --go-on            starts from the weights that ship; the manifest names them as parents

Draws the crowd into a folder, trains, measures on people held out, and writes data/pretrained/judges with a manifest: who was learnt from,
which seed, sentences and voices, how good on whom. Natural voices need the extra ``voices``.
"""

import argparse
import json
import shutil
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch

from emolib.corpus.crowd import draw_crowd
from emolib.critics.emotion import EmotionNet
from emolib.critics.lipsync import VIDEO, LipSync, cut_frames, window_auc
from emolib.files import write_atomic
from emolib.metrics.confusion import accuracy, confusion
from emolib.train.crowd import CrowdEmotion, CrowdSync, People, crowd_bank, sound_bank
from emolib.train.loop import train
from emolib.weights import PRETRAINED, sha256
from synthface.crowd import SEED

TARGET = PRETRAINED / "judges"
HELD_OUT = 40  # people of each kind that are only measured on: the last ones


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--people", type=int, default=2000, help="of whom stills are drawn; half of them for each emotion net"
    )
    parser.add_argument("--speakers", type=int, default=600, help="of whom two clips each are drawn, for SyncNet")
    parser.add_argument("--emotion-steps", type=int, default=6000)
    parser.add_argument("--sync-steps", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--go-on", action="store_true", help="start from the weights that ship")
    parser.add_argument("--crowd", type=Path, default=Path(".checkpoints/crowd"))
    parser.add_argument("--first", type=int, default=0, help="number of the first person: others than a parent's")
    arguments = parser.parse_args()
    numbers = range(arguments.first, arguments.first + arguments.people)
    stills = draw_crowd(arguments.crowd, "stills", numbers)[0].parent
    clips = draw_crowd(arguments.crowd, "clips", range(numbers.start, numbers.start + arguments.speakers))[0].parent
    half = arguments.people // 2 - HELD_OUT
    manifest: dict = {"command": "make judges", "files": {}, "judges": {}}
    for kind, first in (("loss", numbers.start), ("efd", numbers.start + 1)):
        people, out = People(stills, first, half), People(stills, first + 2 * half, HELD_OUT)
        path, parent = _place(f"emotion_{kind}", arguments)
        training = CrowdEmotion(
            kind=kind,
            people=people,
            parent=parent,
            steps=arguments.emotion_steps,
            seed=arguments.seed,
            batch_size=64,
            lr=2e-3,
        )
        train(training, path, checkpoints=arguments.crowd / "training" / kind)
        bank = crowd_bank(out, arguments.seed)
        net = EmotionNet.load(path)
        scores = {
            "accuracy": accuracy(confusion(net, bank)),
            "composites": accuracy(confusion(net, bank, composites=True)),
        }
        _note(manifest, path, people, out, scores, parent)
    people = People(clips, numbers.start, arguments.speakers - HELD_OUT, 1)
    out = People(clips, numbers.start + people.count, HELD_OUT, 1)
    path, parent = _place("sync", arguments)
    training = CrowdSync(
        people=people, parent=parent, steps=arguments.sync_steps, seed=arguments.seed, batch_size=96, lr=1e-3
    )
    train(training, path, checkpoints=arguments.crowd / "training" / "sync")
    _note(manifest, path, people, out, heard_right(LipSync.load(path), out, arguments.seed), parent)
    said = [np.load(file)[name] for file in people.files + out.files for name in ("voices", "texts")]
    manifest |= {"voices": _all(said[::2]), "sentences": _all(said[1::2]), "seed_of_the_crowd": SEED}
    write_atomic(TARGET / "manifest.json", json.dumps(manifest, indent=1) + "\n")
    print(json.dumps(manifest["judges"], indent=1))


def _place(name: str, arguments: argparse.Namespace) -> tuple[Path, Path | None]:
    """Where a judge lies, and a copy of what ships to start from: the original is written over."""
    TARGET.mkdir(parents=True, exist_ok=True)
    path = TARGET / f"{name}.safetensors"
    parent = arguments.crowd / "training" / f"parent_{path.name}"
    if arguments.go_on and path.is_file() and not parent.is_file():
        parent.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, parent)
    return path, parent if arguments.go_on and parent.is_file() else None


def _note(manifest: dict, path: Path, people: People, out: People, scores: dict, parent: Path | None) -> None:
    """Writes into ``manifest`` who learnt from whom, and how well."""
    manifest["files"][path.name] = sha256(path)
    manifest["judges"][path.stem] = {
        "learnt from": f"{people.count} people, every {people.step}. from number {people.first}",
        "measured on": f"{out.count} people, every {out.step}. from number {out.first}",
        "parent": sha256(parent) if parent else None,
    } | {name: round(float(value), 4) for name, value in scores.items()}


@torch.no_grad()
def heard_right(net: LipSync, people: People, seed: int) -> dict[str, float]:
    """AUC of windows in sync against those of the same clip five frames or more away, and mean distances by shift."""
    mouths, sounds = sound_bank(people)
    moments = torch.arange(VIDEO // 2, mouths.shape[1] - VIDEO // 2)
    pairs = [[x.numpy() for x in net(cut_frames(m, moments), s[moments].float())] for m, s in zip(mouths, sounds)]
    apart = [np.linalg.norm(video[:, None] - audio[None], axis=-1) for video, audio in pairs]
    shifts = {f"distance at {40 * k} ms": np.mean([np.diagonal(d, k).mean() for d in apart]) for k in (0, 2, 4, 7)}
    return {"auc": window_auc(apart, seed=seed)} | shifts


def _all(arrays: Iterable[np.ndarray]) -> list[str]:
    return sorted({str(name) for array in arrays for name in array.ravel()})


if __name__ == "__main__":
    main()
