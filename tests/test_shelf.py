"""Shelves: what is put in comes out, thinned evenly, at no more memory than is read; pairs of one person."""

from typing import NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from emolib.corpus.partners import Partners
from emolib.corpus.shelf import Fits, Shelf
from emolib.face.model import Coefficients
from emolib.train.codes import Codes


@settings(max_examples=40, deadline=None)
@given(
    lengths=st.lists(st.integers(0, 9), min_size=1, max_size=8),
    kind=st.sampled_from(["u1", "f2", "f4", "i8"]),
    shape=st.sampled_from([(), (3,), (2, 4)]),
    most=st.integers(1, 40),
)
def test_what_is_put_in_comes_out(lengths, kind, shape, most):
    rng, shelf = np.random.default_rng(0), Shelf()
    arrays = [rng.integers(0, 200, (n, *shape)).astype(kind) for n in lengths]
    for array in arrays:
        shelf.put(array)
    assert len(shelf) == len(arrays)
    for i, (array, found) in enumerate(zip(arrays, shelf)):
        np.testing.assert_array_equal(array, found)
        assert found.dtype == array.dtype and found.flags.writeable and shelf.length(i) == len(array)
    np.testing.assert_array_equal(shelf[-1], arrays[-1])
    longest = int(np.argmax(lengths))
    if lengths[longest]:
        np.testing.assert_array_equal(shelf.rows(longest, 1, lengths[longest]), arrays[longest][1:])
    every = np.concatenate(arrays)
    step = max(1, -(-len(every) // most))
    np.testing.assert_array_equal(shelf.every(most), every[::step])


def test_a_shelf_holds_arrays_of_one_kind():
    shelf = Shelf()
    shelf.put(np.zeros((2, 3), np.float32))
    for other in (np.zeros((2, 3)), np.zeros((2, 4), np.float32)):
        with pytest.raises(ValueError, match="for a shelf of"):
            shelf.put(other)
    with pytest.raises(IndexError):
        shelf[1]


class Shown(NamedTuple):
    identity: str
    emotion: str

    def coefficients(self) -> Coefficients:
        return Coefficients.zeros(2).replace(beta=torch.full((2, 64), float(len(self.emotion))))


def test_fits_are_those_of_the_clips_in_their_order():
    fits = Fits([Shown("a", "sad"), Shown("a", "happy")])
    assert len(fits) == 2 and fits.length(1) == 2
    assert fits[0].beta.unique().item() == 3 and fits[1].beta.unique().item() == 5
    assert fits.every(2).beta[:, 0].tolist() == [3, 5]


def test_codes_come_back_by_name():
    codes, beta, sigma = Codes(), torch.rand(3, 64), torch.rand(3, 5)
    codes.put("one", beta, sigma)
    codes.put("two", beta + 1, sigma)
    assert len(codes) == 2
    torch.testing.assert_close(codes["two"], (beta + 1, sigma))
    torch.testing.assert_close(codes["one"], (beta, sigma))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["sad", "happy", "fear"])), min_size=1, max_size=12))
def test_partners_are_the_same_person_in_another_emotion(people):
    clips = [Shown(*one) for one in people]
    partners = Partners(clips)
    wanted = [[j for j, b in enumerate(clips) if a.identity == b.identity and a.emotion != b.emotion] for a in clips]
    assert [partners[i].tolist() for i in range(len(clips))] == wanted
    assert partners.usable() == [i for i, others in enumerate(wanted) if others]
