#!/usr/bin/env python
"""Drives the profile ``paper`` at its real sizes on a fake MEAD: does every stage run, and does it fit into memory?

    python scripts/check_paper.py --records 25000                   everything; hours on two cores
    python scripts/check_paper.py --records 2500 --stages 04 06     some stages, of fewer records

A few drawn people are filmed at 512 px, 100 frames a clip, and laid out as MEAD is (24 recordings). Stages 01 and 02 prepare and fit these;
then their clips are linked under other names until there are as many records as asked for, and the later stages run on all of them: the
networks, crops and batches of the profile, a few steps of each training, few test clips. CLIP is ViT-B-32 with weights as drawn, since the
true ones are a download. Prints, for each stage, minutes and the memory of its largest process, and the hours of the profile at the rate of
the steps made here. What was made stays in --folder and is not made again.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import torch

from emolib.compat import fix_torchvision
from emolib.corpus.clips import JOURNAL
from emolib.corpus.mead import EMOTION
from emolib.errors import EmolibError
from emolib.media.audio import save_wav
from emolib.media.video import VideoWriter
from emolib.params import as_yaml, from_dict
from emolib.pipeline.repro import copy_tree
from emolib.pipeline.stage import project_root
from emolib.values import read_yaml
from synthface.synth import Studio, plan

SIDE, SECONDS, FPS = 512, 4.0, 25
FEW = {"train": 2, "test": 1}  # people who are filmed, eight clips each
STAGES = (
    "01_data", "02_fitting", "03_critics", "04_eac full", "04_eac onehot", "04_eac lm", "05_hef full", "06_ecg", "07_evaluation",
    "08_unseen",
)  # fmt: skip
# What is less than in the profile: how long it trains, and how much is scored. Sizes are the profile's.
SHORT = {
    "data": {"train_identities": FEW["train"], "test_identities": FEW["test"], "validation_identities": 0},
    "base": {"lpips": "any"},
    "fitting": {"turned_people": 1},
    "critics": {"emotion_steps": 2, "sync_steps": 2, "clip_steps": 2},
    "eac": {"variants": ["full", "onehot", "lm"], "steps": 2, "test_clips": 2, "actors": 1},
    "hef": {"variants": ["full"], "steps": 2, "test_pairs": 2},
    "ecg": {"ablations": ["wo_emotion"], "content_steps": 4, "landmark_steps": 2, "texture_steps": 2},
    "evaluation": {"n_clips": 2, "n_frames": 16, "draws": 50, "timed_frames": 8},
    "unseen": {"frames": 2, "clips": 2},
}


def film(root: Path) -> None:
    """A few drawn people in MEAD's layout under ``root``."""
    if (root / "whole").is_file():
        return
    studio, said = Studio(0, SIDE, SECONDS), {ours: theirs for theirs, ours in reversed(EMOTION.items())}
    specs = plan(FEW["train"], FEW["test"], 0, clips_per_identity=8, unseen_emotions=0)
    for spec in specs:
        _, frames, audio, _ = studio.clip(spec)
        where = f"{said[spec.emotion]}/level_{spec.intensity}/001"
        person = root / f"M{spec.person + 1:03d}"
        video = person / "video" / "front" / f"{where}.mp4"
        video.parent.mkdir(parents=True, exist_ok=True)
        with VideoWriter(video, FPS, (SIDE, SIDE), lossless=True) as out:
            for frame in frames:
                out.write(frame)
        (person / "audio" / where).parent.mkdir(parents=True, exist_ok=True)
        save_wav(person / "audio" / f"{where}.wav", audio)
    (root / "whole").touch()


def settings(root: Path, corpus: Path, clip: Path) -> str:
    """``params.yaml``: the profile with :data:`SHORT` over it."""
    values = read_yaml(root / "conf" / "base.yaml")
    known = {"data": {"root": str(corpus)}, "critics": {"clip_pretrained": str(clip)}}
    for over in (read_yaml(root / "conf" / "profile" / "paper.yaml"), SHORT, known):
        for section, keys in over.items():
            values[section] |= keys
    return as_yaml(from_dict(values))


def multiply(run: Path, records: int) -> None:
    """Links the clips and fits of ``run`` under other names, and people's names with them, until there are ``records``."""
    data, fits = run / "data" / "01_data", run / "data" / "02_fitting"
    own = data / "own.parquet"
    if not own.is_file():
        shutil.copy(data / "clips.parquet", own)
    table = pd.read_parquet(own)
    lines = []
    for number in range(records):
        row = table.iloc[number % len(table)].to_dict()
        name, copy = row["clip_id"], number // len(table)
        row |= {"clip_id": f"{name}x{copy}", "identity": f"{row['identity']}x{copy % 16}"} if copy else {}
        for folder, ending in ((data, ".mp4"), (data, ".wav"), (fits, ".npz"), (fits, ".json")):
            target = folder / f"{row['clip_id']}{ending}"
            if copy and not target.exists():
                os.link(folder / f"{name}{ending}", target)
        lines.append(row)
    pd.DataFrame(lines).to_parquet(data / "clips.parquet", index=False)
    (data / JOURNAL).unlink(missing_ok=True)


def drive(run: Path, stage: str) -> dict:
    """Runs one stage; minutes and the peak memory, GB, of its largest process."""
    begin = time.monotonic()
    process = subprocess.Popen([sys.executable, "-m", "emolib.pipeline.run", *stage.split()], cwd=run)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise EmolibError(f"stage {stage} of the profile paper failed; see above and {run}")
    return {"stage": stage, "minutes": (time.monotonic() - begin) / 60, "memory_gb": usage.ru_maxrss * 1024 / 1e9}


def trained(run: Path, paper: dict) -> pd.DataFrame:
    """The trainings made: time a step here, and what the profile's steps would take at that rate."""
    wanted = {"eac": paper["eac"]["steps"], "hef": paper["hef"]["steps"]}
    wanted |= {"landmarks": paper["ecg"]["landmark_steps"], "texture": paper["ecg"]["texture_steps"]}
    lines = []
    for path in sorted((run / "data").glob("0[3-6]*/**/*.json")):
        record = json.loads(path.read_text())
        if "step_ms" in record and (steps := wanted.get(path.stem)):
            hours = record["step_ms"] * steps / 3.6e6
            lines.append({"training": path.stem, "steps": steps, "ms a step": record["step_ms"], "hours": hours})
    return pd.DataFrame(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--records", type=int, default=25000, help="how many records the later stages see (25000)")
    parser.add_argument("--folder", type=Path, default=Path(".profiles/check_paper"), help="where it is made")
    parser.add_argument("--stages", nargs="+", default=["03", "04", "05", "06", "07", "08"], help="after 01 and 02")
    args = parser.parse_args()
    root, folder = project_root(), args.folder.resolve()
    run, clip = folder / "run", folder / "ViT-B-32.pt"
    film(folder / "mead")
    if not clip.is_file():
        fix_torchvision()
        import open_clip

        torch.save(open_clip.create_model("ViT-B-32").state_dict(), clip)
    copy_tree(root, run)
    os.environ["PYTHONPATH"] = str(run)
    (run / "params.yaml").write_text(settings(root, folder / "mead", clip))
    measured = []
    if not (run / "data" / "01_data" / "own.parquet").is_file():
        measured += [drive(run, stage) for stage in STAGES[:2]]
    multiply(run, args.records)
    for stage in STAGES[2:]:
        if stage.startswith(tuple(args.stages)):
            measured.append(drive(run, stage) | {"records": args.records})
            print(pd.DataFrame(measured).to_string(index=False), flush=True)
    print(trained(run, read_yaml(root / "conf" / "profile" / "paper.yaml")).to_string(index=False))
    return 0


if __name__ == "__main__":
    sys.exit(main())
