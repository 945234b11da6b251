"""The command line: ``emolib talk``, ``fit`` and ``prepare``. What is heavy is imported once the arguments are known to be right."""

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import NoReturn

from emolib import __version__, arguments, signals
from emolib.errors import EmolibError
from emolib.files import check_input, check_output

TALK_OUT = "out/talk.mp4"
DEMO_EMOTION = "happy"
OVERLAYS = (".png", ".jpg", ".jpeg", ".webp")


class _Parser(argparse.ArgumentParser):
    """Says what is wrong with an argument in one sentence, like everything else here."""

    def error(self, message: str) -> NoReturn:
        raise EmolibError(f"{message}; see {self.prog} --help")


def _natural(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"'{text}' is not a whole number from 0")
    return int(text)


def _add_talk(commands) -> None:
    talk = commands.add_parser(
        "talk",
        help="make a portrait speak with an emotion",
        description="Makes a portrait speak with an emotion. Without arguments: a demonstration (a real portrait from a "
        "package, synthetic speech, happy).",
        epilog='example: emolib talk --source me.jpg --audio hello.wav --emotion "sadly surprised" --intensity 3 '
        "--out hello.mp4",
    )
    talk.set_defaults(run=_talk)
    talk.add_argument("--source", metavar="PORTRAIT", help="an image that Pillow reads (default: a real portrait)")
    voice = talk.add_argument_group("voice (at most one)")
    voice.add_argument("--audio", metavar="FILE", help="sound or video that holds speech (default: synthetic speech)")
    voice.add_argument("--text", metavar="WORDS", help="English words for the synthetic voice to say instead")
    emotion = talk.add_argument_group(f"emotion (exactly one; the demonstration is {DEMO_EMOTION})")
    emotion.add_argument(
        "--emotion",
        metavar="TEXT",
        help="in words, e.g. happy, 'sadly surprised'; mixed: 'happy*0.7 + sad*0.3'; over time: 'neutral@0 happy:3@1.5'",
    )
    emotion.add_argument("--emotion-image", metavar="FILE", help="an image of a face that shows it")
    emotion.add_argument("--emotion-audio", metavar="FILE", help="a voice that carries it")
    talk.add_argument("--intensity", type=float, default=2.0, metavar="X", help="1 to 3 (default: %(default)g)")
    talk.add_argument(
        "--transition",
        type=float,
        default=0.3,
        metavar="S",
        help="seconds between emotions over time (default: %(default)g)",
    )
    talk.add_argument("--out", default=TALK_OUT, metavar="FILE", help="an .mp4 file (default: %(default)s)")
    talk.add_argument("--face", type=int, metavar="N", help="which face, 1 = the largest (default: 1, and says so)")
    talk.add_argument(
        "--pose", default="generated", choices=("generated", "still"), help="head motion (default: %(default)s)"
    )
    talk.add_argument("--no-blink", action="store_true", help="no blinks (default: about 20 a minute)")
    talk.add_argument("--fps", default="25", metavar="R", help="1 to 120, exact, e.g. 30000/1001 (default: 25)")
    talk.add_argument("--seed", type=_natural, default=0, metavar="N", help="of pose and blinks (default: %(default)s)")
    talk.add_argument(
        "--style", type=_natural, default=0, metavar="N", help="a way to express it; 0 = as most people do (default)"
    )
    talk.add_argument(
        "--ears", metavar="FILE", help="an audio encoder for --emotion-audio (default: that of the weights)"
    )
    talk.add_argument(
        "--method",
        default="ours",
        choices=("ours", "ecg"),
        help="ours: Xu et al. 2023; ecg: the baseline (Sinha et al. 2022)",
    )
    talk.add_argument("--weights", metavar="FOLDER", help="folder of weights (default: those that ship)")
    talk.add_argument("--json", action="store_true", help="print the answer as JSON")


def _add_fit(commands) -> None:
    fit = commands.add_parser(
        "fit",
        help="fit the 3D face model to an image or a video",
        description="Fits the 3D face model to the largest face of an image or a video: identity, expression, albedo, "
        "light and pose of each frame (a video is read at 25 fps), as arrays alpha, beta, delta, gamma, pose in one npz.",
        epilog="example: emolib fit me.jpg --out me.npz --overlay me_fit.png",
    )
    fit.set_defaults(run=_fit)
    fit.add_argument("input", metavar="IMAGE_OR_VIDEO", help="an image that Pillow reads or a video that PyAV decodes")
    fit.add_argument("--out", default="coefficients.npz", metavar="FILE", help="an .npz file (default: %(default)s)")
    fit.add_argument("--overlay", metavar="FILE", help="a picture of the fit to write, e.g. overlay.png")
    fit.add_argument("--face", type=int, metavar="N", help="which face of an image, 1 = the largest (default: 1)")
    fit.add_argument(
        "--size",
        type=int,
        default=224,
        metavar="PX",
        help="side of the aligned crop, 64 to 1024 (default: %(default)s)",
    )
    fit.add_argument("--json", action="store_true", help="print the answer as JSON")


def _views(text: str) -> tuple[str, ...]:
    return tuple(view.strip() for view in text.split(",") if view.strip())


def _add_prepare(commands) -> None:
    from emolib.params import CORPORA, SPLITS, VIEWS

    prepare = commands.add_parser(
        "prepare",
        help="make clips of a real corpus",
        description="Makes clips (aligned faces at 25 fps, sound at 16 kHz) and their index of a corpus as its owner packs "
        "it. What cannot be used is listed with its reason in quarantine.csv. Killed and run again, it goes on where it was. "
        "With DASK_SCHEDULER_ADDRESS set, the workers of that dask cluster do it.",
        epilog="example: emolib prepare mead /corpora/MEAD --out data/mead --size 256 --workers 8",
    )
    prepare.set_defaults(run=_prepare)
    prepare.add_argument("corpus", choices=CORPORA, metavar="CORPUS", help=", ".join(CORPORA))
    prepare.add_argument("root", metavar="ROOT", help="the folder that holds it")
    prepare.add_argument("--out", required=True, metavar="FOLDER", help="a folder for the clips alone, outside ROOT")
    prepare.add_argument(
        "--size", type=int, default=128, metavar="PX", help="side of a crop, even, 64 to 1024 (default: %(default)s)"
    )
    prepare.add_argument("--train", type=_natural, metavar="N", help="people to train on, from 1 (default: 3 in 4)")
    prepare.add_argument("--test", type=_natural, metavar="N", help="people to test, from 0 (default: the rest)")
    prepare.add_argument(
        "--split", default="identity", choices=SPLITS,
        help="by identity, as the paper, or MEAD's official one by take (default: %(default)s; official: all people "
        "on both sides unless --train, --test say how many)",
    )  # fmt: skip
    prepare.add_argument(
        "--views", type=_views, default=("front",), metavar="V,V", help=f"MEAD's: {', '.join(VIEWS)} (default: front)"
    )
    prepare.add_argument(
        "--workers", type=int, metavar="N", help="processes, from 1 (default: one a core, or the dask cluster)"
    )
    prepare.add_argument("--seed", type=_natural, default=0, metavar="N", help="of the split (default: %(default)s)")
    prepare.add_argument("--json", action="store_true", help="print the answer as JSON")


def parser() -> argparse.ArgumentParser:
    root = _Parser(prog="emolib", description="Emotional talking faces.")
    root.add_argument("--version", action="version", version=f"emolib {__version__}")
    commands = root.add_subparsers(required=True, metavar="COMMAND", parser_class=_Parser)
    _add_talk(commands)
    _add_fit(commands)
    _add_prepare(commands)
    return root


def _emotion(args):
    """The one emotion asked for; the demonstration's where nothing of the user's own is given."""
    from emolib.request import EmotionCondition

    given = (args.emotion, args.emotion_image, args.emotion_audio)
    if given == (None, None, None) and (args.source, args.audio, args.text) == (None, None, None):
        return EmotionCondition(text=DEMO_EMOTION)
    return EmotionCondition(*given)


def _talker(method: str):
    """The class behind ``--method``; the other one's modules are not loaded."""
    if method == "ecg":
        from emolib.baselines.ecg.talk import EcgTalker

        return EcgTalker
    from emolib.talker import Talker

    return Talker


def _talk(args) -> None:
    if args.audio is not None and args.text is not None:
        raise EmolibError("both --audio and --text were given; the voice comes from one of them")
    arguments.intensity(args.intensity)  # before seconds of imports
    arguments.frame_rate(args.fps)
    arguments.seconds(args.transition, "transition")
    check_output(args.out, [".mp4"], (args.source, args.audio, args.emotion_image, args.emotion_audio))
    from emolib.request import check

    emotion, source, audio = _emotion(args), args.source, args.audio
    if source is None or audio is None:
        from emolib import demo  # its voice stands on synthface, which a user's own portrait and voice do without

        source = demo.portrait() if source is None else source
        if audio is None:
            words = demo.TEXT if args.text is None else args.text
            audio = demo.speech(words, emotion.text or "neutral", args.intensity, args.seed)
    request = check(
        source, audio, emotion, args.intensity, args.out,
        face=args.face, pose=args.pose, blinks=not args.no_blink, seed=args.seed, style=args.style, fps=args.fps,
        transition=args.transition,
    )  # fmt: skip
    for note in request.notes:
        print(f"emolib: {note}", file=sys.stderr)
    machine = _talker(args.method).load(args.weights, ears=args.ears)
    from tqdm import tqdm

    with tqdm(unit="frame", disable=not sys.stderr.isatty()) as bar:

        def progress(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        report = machine.run(request, progress)
    for note in report.notes[len(request.notes) :]:
        print(f"emolib: {note}", file=sys.stderr)
    if args.json:
        print(json.dumps(asdict(report)))
    else:
        print(
            f"{report.path}: {report.seconds:.2f} s, {report.frames} frames at {report.fps} fps, made in {report.wall_s} s"
        )


def _aligned(path: str, size: int, face: int | None):
    """(crops uint8 (T, size, size, 3), landmarks (T, 68, 2) or None to be tracked) of an image or a video."""
    from emolib.corpus.convert import aligned_frames
    from emolib.face.alignment import Alignment
    from emolib.face.framed import faces_of
    from emolib.face.landmarks import size_notes
    from emolib.media.pictures import load_image
    from emolib.media.video import video_info

    check_input(path, "file", "give an image or a video")
    try:
        notes: list[str] = []
        image = load_image(path, notes)
    except EmolibError as not_an_image:
        try:
            video_info(path)
        except EmolibError:
            raise not_an_image from None
        if face is not None:
            raise EmolibError("--face is for images; in a video the largest face is fitted") from None
        return aligned_frames(Path(path), size), None
    found = faces_of(image, face=face)[0]
    for note in notes + size_notes(found):
        print(f"emolib: {note}", file=sys.stderr)
    alignment = Alignment.from_landmarks(found.landmarks, size)
    return alignment.crop(image).copy()[None], alignment.points(found.landmarks)[None]  # PIL lends its own


def _fit(args) -> None:
    if not 64 <= args.size <= 1024:
        raise EmolibError(f"size is {args.size}; expected 64 to 1024 px")
    check_output(args.out, [".npz"], [args.input])
    if args.overlay is not None:
        check_output(args.overlay, OVERLAYS, [args.input, args.out])
    from emolib.face.fitting import fit_clip, fit_image
    from emolib.face.loaders import load_face_model

    crops, landmarks = _aligned(args.input, args.size, args.face)
    model = load_face_model()
    fit = fit_clip(model, crops) if landmarks is None else fit_image(model, crops[0], landmarks[0])
    if args.overlay is not None:
        _save_overlay(args.overlay, model, crops, fit)
    fit.save(args.out)
    answer = {"path": args.out, "frames": len(crops), "size_px": args.size, "nme_pct": round(float(fit.nme.mean()), 3)}
    if args.json:
        print(json.dumps(answer | {"overlay": args.overlay}))
    else:
        print(f"{args.out}: {len(crops)} frame(s), landmark error {answer['nme_pct']:.2f} % of the eye distance")


def _save_overlay(path: str, model, crops, fit) -> None:
    """Up to four frames: the crop, the crop with its landmarks, the model over it, the model alone."""
    import io

    import numpy as np
    from PIL import Image, ImageDraw

    from emolib.face.render import render
    from emolib.files import write_atomic

    rows = []
    for t in sorted({round(x) for x in np.linspace(0, len(crops) - 1, 4)}):
        crop = crops[t]
        rendering = render(model, fit.coefficients[t], len(crop))
        shown = (rendering.image[0] * 255).round().byte().permute(1, 2, 0).numpy()
        mask = rendering.mask[0, 0].numpy()[..., None] > 0.5
        dotted = Image.fromarray(crop)
        draw, radius = ImageDraw.Draw(dotted), max(1, len(crop) // 150)
        for x, y in fit.landmarks[t]:
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=(0, 255, 0))
        rows.append(np.concatenate([crop, np.asarray(dotted), np.where(mask, shown, crop), shown], axis=1))
    content = io.BytesIO()
    kind = Image.registered_extensions()[Path(path).suffix.lower()]
    Image.fromarray(np.concatenate(rows)).save(content, kind)
    write_atomic(path, content.getvalue())


def _prepare(args) -> None:
    from emolib.corpus.takes import check_request

    asked = {k: getattr(args, k) for k in ("size", "train", "test", "workers", "split", "views")}
    check_request(args.corpus, args.root, args.out, **asked)
    from emolib.corpus.prepare import prepare, summary

    try:
        corpus = prepare(
            args.corpus, args.root, args.out, seed=args.seed, progress=sys.stderr.isatty() and not args.json, **asked
        )
    except KeyboardInterrupt:
        raise KeyboardInterrupt("stopped; the clips so far are kept, run it again to go on") from None
    reasons = summary(args.out)
    sides = {side: len(corpus.select(split=side)) for side in ("train", "test")}
    people = int(corpus.table["identity"].nunique())
    answer = {"path": args.out, "clips": len(corpus), **sides, "identities": people}
    answer |= {
        "quarantined": sum(count for count, _ in reasons),
        "reasons": [{"count": c, "reason": r} for c, r in reasons],
    }
    if args.json:
        print(json.dumps(answer))
        return
    print(f"{args.out}: {len(corpus)} clips of {people} people ({sides['train']} train, {sides['test']} test)")
    if reasons:
        print(f"{answer['quarantined']} quarantined, see {Path(args.out) / 'quarantine.csv'}:")
        for count, reason in reasons[:5]:
            print(f"  {count} x {reason}")


def main(argv: list[str] | None = None) -> int:
    """Runs a command line; 0, or 2 and one sentence on stderr for what a user can mend."""
    try:
        args = parser().parse_args(argv)
        args.run(args)
    except EmolibError as error:
        print(f"emolib: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as stop:
        return signals.answer(stop)
    return 0


if __name__ == "__main__":
    sys.exit(main())
