"""Typed parameters: ``params.yaml`` -> frozen dataclasses, every value checked, every refusal by name.

One section a stage, named as the stage without its number (``eac`` for ``04_eac``: a key that starts with a digit
cannot be set with ``dvc exp run -S``). The defaults below *are* the ``cpu`` profile; ``conf/base.yaml`` and
``params.yaml`` are written from them (``python -m emolib.params --write``; edited values stay), the other profiles are overlays in
``conf/profile/``.
"""

import argparse
import dataclasses
import sys
import typing
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from emolib.errors import EmolibError
from emolib.files import write_atomic
from emolib.prompts import TEMPLATES
from emolib.values import checked, choice, closest, number, read_yaml, text, texts

# Real corpora; how they are split by default and as MEAD's owners do; MEAD's cameras.
CORPORA = ("mead", "ravdess", "cremad")
SPLITS = ("identity", "official")
VIEWS = ("front", "down", "top", "left_30", "left_60", "right_30", "right_60")  # MEAD's cameras
# The rows of Table 3, and those that the later notebooks compare.
EAC_VARIANTS, EAC_COMPARED = ("full", "wo_emo", "onehot", "lm", "mlp", "gru"), ("full", "onehot", "lm")
HEF_ABLATIONS = ("short", "wo_res", "wo_hie", "plain", "plain_wo_res", "plain_wo_hie")
HEF_VARIANTS, HEF_COMPARED = ("full", *HEF_ABLATIONS), ("full",)
# The rows of Tables 3 and 4 of Sinha et al. that need a training of their own.
ECG_ABLATIONS = ("wo_graph", "wo_skips", "wo_omega", "wo_gan", "wo_emotion")
PRECISIONS = ("no", "bf16", "fp16", "auto")  # auto: bf16 where a GPU has it, fp16 on other GPUs, no on CPUs


def section_types() -> dict[str, type]:
    """Section -> its class, in the order of the stages."""
    return {f.name: typing.cast(type, f.default_factory) for f in dataclasses.fields(Params)}


def trained_by(section: type) -> tuple[str, ...]:
    """The keys of a section that trained weights may depend on: all but those for scoring, for ablations, and the list of variants."""
    return tuple(f.name for f in dataclasses.fields(section) if not f.metadata.get("scoring") and f.name != "variants")


class Section:
    """What all sections can do."""

    def training(self) -> dict:
        """The keys of :func:`trained_by` with their values, as a :class:`emolib.train.loop.Training` takes them."""
        return {name: getattr(self, name) for name in trained_by(type(self))}


@dataclass(frozen=True)
class Base:
    """What every stage shares."""

    seed: int = number(7, 0, 2**31 - 1, "the one seed every random draw comes from")
    size: int = choice(128, (32, 64, 128, 256, 512, 1024), "side of the aligned face crop, pixels")
    device: str = choice("auto", ("auto", "cpu", "cuda"), "auto takes a GPU where there is one")
    precision: str = choice("no", PRECISIONS, "mixed precision of training; auto: what the device is fast in")
    lpips: str = choice(
        "any", ("any", "pretrained"), "LPIPS without its ImageNet backbone: said in its name, or refused"
    )
    face_model: str = text(
        "", "file of another face model (npz, BFM09's .mat, the ICT kit's folder); none: the shipped one"
    )


@dataclass(frozen=True)
class Data:
    corpus: str = choice("synth", ("synth", "mead", "ravdess", "cremad"), "which corpus; all but synth need root")
    root: str = text("", "folder of a real corpus as its owner packs it")
    train_identities: int = number(24, 1, 1000, "identities to train on (the paper: 36)")
    test_identities: int = number(16, 1, 1000, "identities never trained on")
    validation_identities: int = number(4, 0, 1000, "synthetic identities for choices: neither trained on nor tested")
    takes: int = number(1, 1, 100, "clips for each identity x emotion x intensity")
    seconds: float = number(1.6, 0.6, 30.0, "length of a synthetic clip, s")
    clips_per_identity: int = number(12, 8, 22, "of the 22 emotion x intensity pairs, how many (8: one an emotion)")
    test_clips_per_identity: int = number(8, 8, 22, "the same of test and validation identities")
    unseen_emotions: int = number(6, 0, 6, "compound and new emotions that six test people show too, in no other split")
    randomise: bool = choice(
        False, (True, False), "train on random skins, scenes, crops and occluders: for generators of real photographs"
    )
    voices: str = choice(
        "espeak",
        ("espeak", "natural", "mixed"),
        "who speaks in synthetic clips; the latter two need the extra 'voices'",
    )
    templates: tuple[str, ...] = texts(
        TEMPLATES,
        "wordings of an emotion prompt; {} is the adjective",
        gap=True,
    )


@dataclass(frozen=True)
class Fitting:
    iterations: int = number(4, 1, 1000, "Gauss-Newton iterations of the landmark term")
    photometric: int = number(15, 0, 10000, "photometric iterations for a single image (0: landmarks and colour only)")
    workers: int = number(2, 0, 256, "processes that fit clips side by side (0: one a core)")
    turned_people: int = number(4, 1, 1000, "people whose heads are fitted at all angles, 16 portraits each")


@dataclass(frozen=True)
class Critics:
    judges: str = choice(
        "shipped",
        ("shipped", "trained"),
        "the frozen judges of data/pretrained, or nets trained here on the corpus's train people",
    )
    batch_size: int = number(32, 1, 4096, "images a step")
    lr: float = number(2e-3, 1e-7, 1.0, "AdamW learning rate, warmed up, then down along a cosine")
    frames_per_clip: int = number(8, 1, 1000, "frames of each clip that emotion nets and image tower see")
    cache_mb: int = number(1024, 1, 10**6, "memory for decoded frames, MB; a larger corpus is sampled")
    emotion_steps: int = number(900, 1, 10**7, "trained: steps of each of the two emotion nets")
    sync_steps: int = number(400, 1, 10**7, "trained: steps of SyncNet")
    sync_batch: int = number(64, 16, 4096, "trained: windows a step of SyncNet, 8 of each clip", step=8)
    clip_steps: int = number(400, 1, 10**7, "trained: steps of the image tower (LiT: the text tower is locked)")
    clip_model: str = text("minilm-face", "open_clip model of AME; minilm-face is ours")
    clip_pretrained: str = text(
        "", "open_clip tag or weights file of clip_model, e.g. openai for ViT-B-32; none for ours"
    )
    ravdess: str = text(
        "", "folder of RAVDESS's speech, to measure how well real emotions are heard; none: not measured"
    )


@dataclass(frozen=True)
class Eac(Section):
    variants: tuple[str, ...] = texts(
        EAC_VARIANTS, "Table 3 rows of EAC; a DVC matrix", choices=EAC_VARIANTS, needed=EAC_COMPARED
    )
    steps: int = number(700, 1, 10**7, "optimiser steps")
    batch_size: int = number(16, 1, 4096, "clips a step (the paper: 128)")
    frames: int = number(32, 4, 512, "T, consecutive frames a sample (Sec. 4.1)")
    audio: str = choice(
        "whisper", ("whisper", "mel"), "what hears: Whisper's features (ours) or the log-mel (the paper)"
    )
    window: int = number(
        32, 4, 100, "W, 1/100 s about a video frame: so many mel frames, half as many of Whisper's features"
    )
    dim: int = number(128, 16, 2048, "width C of the Transformer and of the intensity token", step=4)
    depth: int = number(2, 1, 48, "layers of Phi and of the audio encoder")
    keys: int = number(2, 1, 64, "frames a clip that are decoded for the image losses and e_img")
    renders: int = number(8, 1, 4096, "results rendered a step, for L_emo and L_rec")
    render_size: int = number(96, 32, 512, "side of what is rendered for L_emo and L_rec, pixels")
    test_clips: int = number(32, 1, 10**6, "test clips that the scores are measured on", scoring=True)
    lr: float = number(2e-3, 1e-7, 1.0, "Adam's peak learning rate (Sec. 4.1: 2e-4)")
    clip_loss: str = choice(
        "anchored",
        ("anchored", "paper"),
        "L_clip: with a contrast of e_audio over the classes' texts (ours), or cosines alone",
    )
    modalities: str = choice(
        "one",
        ("one", "all"),
        "of a clip in a step: one of text, audio, image (ours, a third of the work) or all (Eq. 2)",
    )
    reading: bool = choice(True, (True, False), "the head of Eq. 4 also reads sigma_hat (ours; the paper: false)")
    pe_scale: float = number(0.2, 0.0, 10.0, "weight of the positional encoding beside the tokens (ours; the paper: 1)")
    relative: bool = choice(True, (True, False), "L_emo in lengths of phi_emo(I) (ours; the paper: false)")
    converter: str = choice(
        "shipped",
        ("shipped", "trained"),
        "whom HEF learns with and tables call ours: the converter of `make converter`, or 04's full",
        scoring=True,
    )
    actors: int = number(
        8, 1, 1000, "actors of no corpus, 22 performances each, that 04's full is measured on", scoring=True
    )
    lambda_clip: float = number(1.0, 0.0, 1e4, "Eq. 5")
    lambda_emo: float = number(1.0, 0.0, 1e4, "Eq. 5")
    lambda_rec: float = number(100.0, 0.0, 1e4, "Eq. 5")
    lambda_lm: float = number(0.1, 0.0, 1e4, "Eq. 5")
    lambda_reg: float = number(0.01, 0.0, 1e4, "Eq. 5")


@dataclass(frozen=True)
class Hef(Section):
    variants: tuple[str, ...] = texts(
        HEF_VARIANTS, "Table 3 rows of HEF; a DVC matrix", choices=HEF_VARIANTS, needed=HEF_COMPARED
    )
    steps: int = number(120, 1, 10**7, "optimiser steps of the generator")
    ablation_size: int = number(64, 32, 1024, "px: side of the rows of Table 3 beside ``full``", scoring=True)
    ablation_steps: int = number(120, 1, 10**7, "their optimiser steps, the same for all", scoring=True)
    batch_size: int = number(8, 1, 512, "frames a step, all of one clip (Sec. 4.1: 1 clip, 8 images a GPU)")
    channels: int = number(2048, 256, 2**18, "a feature map of side r has channels / r channels in each of its parts")
    channels_max: int = number(64, 8, 1024, "and at most so many")
    detail: bool = choice(True, (True, False), "carry the warped source's own bands (ours; the paper: false)")
    mesh_motion: bool = choice(True, (True, False), "flows refine the mesh's motion (ours; the paper: false)")
    lr: float = number(2e-3, 1e-7, 1.0, "Adam learning rate (Sec. 4.1)")
    precision: str = choice("auto", PRECISIONS, "mixed precision of this stage: convolutions gain most")
    ema: float = number(0.98, 0.0, 0.99999, "decay of the averaged weights")
    lambda_rec: float = number(5.0, 0.0, 1e4, "Eq. 11")
    lambda_p: float = number(5.0, 0.0, 1e4, "Eq. 11")
    lambda_adv: float = number(1.0, 0.0, 1e4, "Eq. 11")
    lpips_net: str = choice("alex", ("alex", "squeeze", "vgg"), "backbone of L_p")
    lambda_face: float = number(1.0, 0.0, 1e4, "L_p on the face net's own features, beside LPIPS (ours; the paper: 0)")
    adversary_ramp: float = number(1.0, 0.0, 1.0, "share of the run in which lambda_adv rises to its value")
    r1: float = number(1.0, 0.0, 1e4, "weight of the discriminator's gradient penalty")
    focus: float = number(4.0, 0.0, 100.0, "extra weight of mouth and eyes in L_rec (ours; the paper: 0)")
    predicted: float = number(0.5, 0.0, 1.0, "share of steps with EAC's beta in Eq. 7, not the fitted one")
    same_clip: float = number(0.25, 0.0, 1.0, "share of sources from the drive's own clip, as at test (ours; paper: 0)")
    recolour: bool = choice(True, (True, False), "random colours, the same for source and drive (ours)")
    test_pairs: int = number(16, 1, 10**4, "test clips that are scored, 4 frames each", scoring=True)


@dataclass(frozen=True)
class Ecg:
    ablations: tuple[str, ...] = texts(
        ("wo_graph", "wo_emotion"), "rows of Tables 3 and 4 of Sinha et al. beside ours", choices=ECG_ABLATIONS
    )
    content_steps: int = number(200, 1, 10**7, "steps of the reader of characters that stands for DeepSpeech")
    landmark_steps: int = number(1200, 1, 10**7, "steps of the landmark generator G_L")
    landmark_batch: int = number(64, 1, 4096, "video frames a step of G_L (Sec. 4.1 of Sinha et al.: 256)")
    texture_steps: int = number(120, 1, 10**7, "steps of the texture generator G_T")
    texture_batch: int = number(4, 1, 512, "pairs of frames a step of G_T (Sec. 4.1: 4)")
    texture_width: int = number(16, 8, 256, "channels of G_T at full resolution, a multiple of 8", step=8)
    landmark_motion: bool = choice(
        True, (True, False), "start the flow of G_T from the landmarks' own motion (the paper: no)"
    )
    standardise: bool = choice(
        True, (True, False), "standardise the characters before the LSTM of E_A (ours; the paper: no)"
    )
    movement: float = number(8.0, 1.0, 100.0, "times: what D_L sees of a movement (ours; the paper: 1)")
    face_distance: bool = choice(True, (True, False), "Eq. 7 also in the face net's features (ours; the paper: no)")
    frames_per_clip: int = number(6, 2, 512, "frames of each clip that G_T is shown")
    landmark_lr: float = number(2e-3, 1e-7, 1.0, "Adam learning rate of G_L (Sec. 4.1: 2e-4)")
    texture_lr: float = number(5e-4, 1e-7, 1.0, "Adam learning rate of G_T (Sec. 4.1: 2e-4)")
    lambda_ver: float = number(1.0, 0.0, 1e4, "Eq. 4")
    lambda_gan: float = number(0.5, 0.0, 1e4, "Eq. 4")
    lambda_rec: float = number(1.0, 0.0, 1e4, "Eq. 9")
    lambda_per: float = number(10.0, 0.0, 1e4, "Eq. 9")
    lambda_adv: float = number(1.0, 0.0, 1e4, "Eq. 9")
    perceptual: str = choice(
        "squeeze", ("squeeze", "alex", "vgg"), "backbone of Eq. 7 (the paper: vgg, ten times the cost)"
    )
    one_shot_steps: int = number(
        5, 0, 1000, "iterations of one-shot tuning on the source (Sec. 4.1: up to 5)", scoring=True
    )


@dataclass(frozen=True)
class Evaluation:
    n_clips: int = number(16, 1, 10**6, "test clips each row is measured on")
    n_frames: int = number(25, 8, 10**6, "frames of each clip, from its start")
    draws: int = number(4000, 10, 10**6, "bootstrap draws of the 95 % intervals")
    timed_frames: int = number(32, 8, 10**4, "frames that the time and memory of Table 2 are measured on")


@dataclass(frozen=True)
class Unseen:
    frames: int = number(4, 2, 100, "frames shown a row of Fig. 5")
    clips: int = number(16, 2, 10**4, "test clips whose sound goes into the tokens of Fig. 8")


@dataclass(frozen=True)
class Params:
    base: Base = field(default_factory=Base)
    data: Data = field(default_factory=Data)
    fitting: Fitting = field(default_factory=Fitting)
    critics: Critics = field(default_factory=Critics)
    eac: Eac = field(default_factory=Eac)
    hef: Hef = field(default_factory=Hef)
    ecg: Ecg = field(default_factory=Ecg)
    evaluation: Evaluation = field(default_factory=Evaluation)
    unseen: Unseen = field(default_factory=Unseen)


def _section(cls, values, name: str):
    if not isinstance(values, dict):
        raise EmolibError(f"parameter section {name} is {values!r}; expected a mapping")
    fields = {f.name: f for f in dataclasses.fields(cls)}
    hints = typing.get_type_hints(cls)
    for key in values:
        if key not in fields:
            raise EmolibError(
                f"unknown parameter {name}.{key}{closest(str(key), fields)}; {name} has: {', '.join(fields)}"
            )
    return cls(**{k: checked(f"{name}.{k}", v, hints[k], fields[k].metadata) for k, v in values.items()})


def from_dict(values: dict) -> Params:
    """Params from a nested mapping; a key left out keeps its default, an unknown or wrong one is refused by name."""
    sections = section_types()
    if not isinstance(values, dict):
        raise EmolibError(f"the parameters are {values!r}; expected sections {', '.join(sections)}")
    for key in values:
        if key not in sections:
            raise EmolibError(
                f"unknown parameter section {key}{closest(str(key), sections)}; expected: {', '.join(sections)}"
            )
    return Params(**{k: _section(sections[k], v, k) for k, v in values.items()})


def load_params(path: str | Path = "params.yaml") -> Params:
    """Reads and checks a parameter file. Raises :class:`EmolibError` for a missing, unreadable or wrong one."""
    values = read_yaml(Path(path))
    params = from_dict({} if values is None else values)
    if params.data.corpus != "synth" and not params.data.root:
        raise EmolibError(
            f"parameter data.corpus is '{params.data.corpus}' and data.root is empty; expected the folder that holds it"
        )
    return params


def as_yaml(params: Params | None = None) -> str:
    """Parameters (default: the defaults) as commented YAML, in the order of the stages."""
    params = params or Params()
    lines = [
        "# Keys, types and comments: emolib/params.py (`python -m emolib.params --write` writes them anew and keeps the values)."
    ]
    for section, kind in section_types().items():
        lines.append(f"{section}:")
        for f in dataclasses.fields(kind):
            value = getattr(getattr(params, section), f.name)
            value = list(value) if isinstance(value, tuple) else value
            written = yaml.safe_dump(value, default_flow_style=True, width=10**6).removesuffix("...\n").strip()
            lines.append(f"  {f.name}: {written}  # {f.metadata['doc']}")
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m emolib.params", description="check params.yaml, or write it anew")
    parser.add_argument(
        "--write", action="store_true", help="params.yaml with today's keys and comments; its values stay"
    )
    parser.add_argument("--defaults", action="store_true", help="with --write: the defaults in place of its values")
    args = parser.parse_args()
    try:
        kept = Params() if args.defaults or not Path("params.yaml").is_file() else load_params()
        if args.write:
            write_atomic("conf/base.yaml", as_yaml())  # what profiles are laid over
            write_atomic("params.yaml", as_yaml(kept))
    except EmolibError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
