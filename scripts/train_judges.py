"""Makes the frozen judges that ship: two emotion nets, the image tower, whom it knows, and SyncNet, from people, voices and sentences
of no corpus.

    python scripts/train_judges.py                       hours (2 cores: 2 s a person and take, then an hour); goes on if interrupted
    python scripts/train_judges.py --go-on --first 2000  starts from the weights that ship; the manifest names them as parents
    python scripts/train_judges.py --only emotion_efd    the others stay as they are

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

from emolib.ame import Ame
from emolib.corpus.crowd import draw_crowd
from emolib.critics.drawn import Drawn, looks
from emolib.critics.emotion import EmotionNet
from emolib.critics.sync import SyncNet, cut_windows, inside, sync_auc
from emolib.files import replacing, write_atomic
from emolib.media.pictures import to_tensor
from emolib.metrics.confusion import accuracy, confusion
from emolib.prompts import TEMPLATES
from emolib.train.crowd import CrowdClip, CrowdEmotion, CrowdSync, People, crowd_bank, mouth_bank
from emolib.train.loop import Training, read_record, train
from emolib.weights import PRETRAINED, sha256
from synthface.crowd import SEED, TAKES

TARGET = PRETRAINED / "judges"
WARM_START = (
    45 * 60
)  # s: what a training that is never finished leaves, weights to put in place of those that ship and go on from
JUDGES = ("emotion_loss", "clip", "drawn", "emotion_efd", "sync")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--people",
        type=int,
        default=2000,
        help="of whom stills are drawn: half for the judge of EFD, half for the others",
    )
    parser.add_argument("--speakers", type=int, default=600, help="of whom two clips each are drawn, for SyncNet")
    parser.add_argument("--emotion-steps", type=int, default=6000)
    parser.add_argument("--clip-steps", type=int, default=4000)
    parser.add_argument("--sync-steps", type=int, default=3000)
    parser.add_argument("--held-out", type=int, default=40, help="people of each kind that are only measured on")
    parser.add_argument("--lr", type=float, default=2e-3, help="a third of it, to go on from weights on fewer people")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument(
        "--precision", choices=("no", "bf16"), default="no", help="bf16 where the machine is fast in it"
    )
    parser.add_argument("--only", nargs="+", choices=JUDGES, default=JUDGES)
    parser.add_argument("--go-on", action="store_true", help="start from the weights that ship")
    parser.add_argument("--crowd", type=Path, default=Path(".checkpoints/crowd"))
    parser.add_argument("--first", type=int, default=0, help="number of the first person: others than a parent's")
    arguments = parser.parse_args()
    note = TARGET / "manifest.json"
    TARGET.mkdir(parents=True, exist_ok=True)
    for name in arguments.only:
        path, parent = _place(name, arguments)
        make = {"sync": _sync, "drawn": _drawn}.get(name, _emotion)
        learnt, out, scores, said = make(name, path, parent, arguments)
        manifest = json.loads(note.read_text()) if note.is_file() else {"files": {}, "judges": {}}
        manifest |= {"command": "make judges", "seed_of_the_crowd": SEED}
        for what, new in said.items():
            manifest[what] = sorted({*new, *manifest.get(what, ())})
        with replacing(TARGET / path.name) as temporary:
            shutil.copyfile(path, temporary)
        manifest["files"][path.name] = sha256(path)
        manifest["judges"][name] = {
            "learnt from": f"{learnt.count} people, every {learnt.step}. from number {learnt.first}",
            "measured on": f"{out.count} people, every {out.step}. from number {out.first}",
            "parent": sha256(parent) if parent else None,
            "parents learnt from": _before(manifest["judges"].get(name)) if parent else [],
            "steps": read_record(path).get("steps"),
            "code": read_record(path).get("code"),
        } | {key: round(float(value), 4) for key, value in scores.items()}
        write_atomic(note, json.dumps(manifest, indent=1) + "\n")
        print(name, json.dumps(manifest["judges"][name], indent=1))


def _before(entry: dict | None) -> list[str]:
    """Of whom the judge has learnt until now, by its ``entry`` in the manifest: whoever goes on from it has met them too."""
    return [*entry.get("parents learnt from", []), entry["learnt from"]] if entry else []


def _place(name: str, arguments: argparse.Namespace) -> tuple[Path, Path | None]:
    """Where a judge is trained, and a copy of the one that ships to start from: that one is written over."""
    folder, shipped = arguments.crowd / "training", TARGET / f"{name}.safetensors"
    folder.mkdir(parents=True, exist_ok=True)
    parent = folder / f"parent_{shipped.name}"
    if arguments.go_on and shipped.is_file() and not parent.is_file():
        shutil.copyfile(shipped, parent)
    goes_on = arguments.go_on and name != "drawn"  # that is measured, not trained
    return folder / shipped.name, parent if goes_on and parent.is_file() else None


def _sitters(name: str, arguments: argparse.Namespace) -> tuple[People, People]:
    """Of whom a judge has stills, and those held out. The judge of EFD has the odd people, the others the even ones."""
    first, count = arguments.first + (name == "emotion_efd"), arguments.people // 2 - arguments.held_out
    stills = draw_crowd(arguments.crowd, "stills", range(first, first + arguments.people, 2))[0].parent
    return People(stills, first, count), People(stills, first + 2 * count, arguments.held_out)


def _drawn(name: str, path: Path, _, arguments: argparse.Namespace) -> tuple:
    """Measures how drawn people look, as they are (the first take); says how many of others and of themselves, randomised, are known."""
    people, out = _sitters(name, arguments)
    Drawn.of(torch.cat([looks(crops) for crops in _take(people, 0)])).save(path)
    drawn = Drawn.load(path)
    known = {
        f"known, take {take}": torch.cat([drawn.has(crops) for crops in _take(out, take)]).float().mean()
        for take in range(TAKES)
    }
    return people, out, known, {}


def _take(people: People, take: int) -> Iterable[torch.Tensor]:
    for file in people.files:
        images = np.load(file)["images"][:, take]
        yield to_tensor(images.reshape(-1, *images.shape[2:]))


def _emotion(name: str, path: Path, parent: Path | None, arguments: argparse.Namespace) -> tuple:
    """Trains and measures what sees stills."""
    people, out = _sitters(name, arguments)
    how = {"people": people, "parent": parent, "seed": arguments.seed, "precision": arguments.precision}
    how |= {"batch_size": 64, "lr": arguments.lr}
    if name == "clip":
        training: Training = CrowdClip(templates=TEMPLATES, steps=arguments.clip_steps, **how)
    else:
        training = CrowdEmotion(kind=name.removeprefix("emotion_"), steps=arguments.emotion_steps, **how)
    train(training, path, checkpoints=arguments.crowd / "training" / name, warm_start_every=WARM_START)
    see = Ame.load(path).similarity if name == "clip" else EmotionNet.load(path)
    bank = crowd_bank(out, arguments.seed)
    scores = {
        "accuracy": accuracy(confusion(see, bank)),
        "composites": accuracy(confusion(see, bank, composites=True)),
    }
    return people, out, scores, {}


def _sync(_, path: Path, parent: Path | None, arguments: argparse.Namespace) -> tuple:
    """Trains and measures SyncNet; says which voices and sentences it has heard."""
    numbers = range(arguments.first, arguments.first + arguments.speakers)
    clips = draw_crowd(arguments.crowd, "clips", numbers)[0].parent
    people = People(clips, numbers.start, arguments.speakers - arguments.held_out, 1)
    out = People(clips, numbers.start + people.count, arguments.held_out, 1)
    training = CrowdSync(
        people=people,
        parent=parent,
        steps=arguments.sync_steps,
        seed=arguments.seed,
        batch_size=96,
        lr=arguments.lr / 2,
    )
    train(training, path, checkpoints=arguments.crowd / "training" / "sync", warm_start_every=WARM_START)
    said = {
        key: {str(x) for file in people.files + out.files for x in np.load(file)[name].ravel()}
        for key, name in (("voices", "voices"), ("sentences", "texts"))
    }
    return people, out, heard_right(SyncNet.load(path), out, arguments.seed), said


@torch.no_grad()
def heard_right(net: SyncNet, people: People, seed: int) -> dict[str, float]:
    """AUC of windows in sync against those of the same clip five frames or more away, and mean distances by shift."""
    bank = mouth_bank(people)
    apart = list(_apart(net, bank.mouths, bank.sounds))
    shifts = {f"distance at {40 * k} ms": np.mean([np.diagonal(d, k).mean() for d in apart]) for k in (0, 2, 4, 7)}
    return {"auc": sync_auc(apart, seed=seed)} | shifts


def _apart(net: SyncNet, mouths, sounds) -> Iterable[np.ndarray]:
    for mouth, sound in zip(mouths, sounds):
        video, audio = (x.numpy() for x in net(*cut_windows(mouth, sound, inside(mouth))))
        yield np.linalg.norm(video[:, None] - audio[None], axis=-1)


if __name__ == "__main__":
    main()
