"""The text head: MiniLM bent to a larger encoder; words that no prompt uses find their class, and what is no emotion stays away."""

import functools

import pytest
import torch
import torch.nn.functional as F

from emolib.ame import OTHER_THINGS, Ame
from emolib.emotions import EMOTIONS
from emolib.errors import EmolibError
from emolib.metrics.unseen_words import UNSEEN, UNSEEN_WORDS
from emolib.prompts import NOUNS, TEMPLATES, WORDS, free_prompts, prompts
from emolib.text_head import TextHead
from emolib.weights import save_weights

HELD_OUT = ["lamp", "river", "a cup of water", "open the door", "monday", "kilogram", "history lesson", "swimming pool"]


@functools.cache
def text_towers():
    """MiniLM as it is, and the head that :class:`Ame` lays over it."""
    ame, head = Ame.create(), TextHead.load()
    assert torch.equal(ame.head.widen.weight, head.widen.weight)
    ame.head = None
    return ame, head


def embedded(texts, head):
    ame, _ = text_towers()
    wordings = [free_prompts(text) if len(text.split()) <= 2 else [text] for text in texts]
    return torch.stack([F.normalize(head(ame.encode(w)).mean(0), dim=0) for w in wordings])


def classes(head):
    ame, _ = text_towers()
    return torch.stack([F.normalize(head(ame.encode(prompts(e))).mean(0), dim=0) for e in EMOTIONS])


def test_there_are_82_words_that_no_prompt_uses():
    assert len(UNSEEN) == 82 and set(UNSEEN_WORDS) == set(EMOTIONS)
    used = {word for table in (WORDS, NOUNS) for words in table.values() for word in words}
    assert not set(UNSEEN) & used and not any(word in template for word in UNSEEN for template in TEMPLATES)


def test_unseen_words_lie_nearest_to_their_class():
    _, head = text_towers()
    truth = torch.tensor([EMOTIONS.index(emotion) for emotion in UNSEEN.values()])
    right = {
        name: int(((embedded(UNSEEN, h) @ classes(h).T).argmax(1) == truth).sum())
        for name, h in (("none", lambda e: e), ("head", head))
    }
    assert right["head"] >= 66 and right["head"] >= right["none"] + 10, right


def test_what_is_no_emotion_is_far_from_all_classes():
    _, head = text_towers()
    emotions, things = (embedded(texts, head) @ classes(head).T for texts in (UNSEEN, [*OTHER_THINGS[:20], *HELD_OUT]))
    assert things.max(1).values.median() < emotions.max(1).values.quantile(0.2)


def test_it_starts_as_the_identity_and_keeps_the_length():
    rows = F.normalize(torch.randn(5, 384), dim=1)
    assert torch.allclose(TextHead()(rows), rows, atol=1e-6)
    assert torch.allclose(text_towers()[1](rows).norm(dim=1), torch.ones(5), atol=1e-5)


def test_other_weights_are_refused(tmp_path):
    path = save_weights(tmp_path / "x.safetensors", {}, {"kind": "eac"})
    with pytest.raises(EmolibError, match="something else than a text head"):
        TextHead.load(path)
