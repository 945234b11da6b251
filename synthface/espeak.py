"""espeak-ng by its C library: samples with the time of every phoneme, and a text in the phones of the IPA.

espeak-ng keeps state between utterances (the phase of its pitch flutter, its random numbers), so the same words would sound different
after other words. The library is loaded afresh for each call (about 1 ms): same arguments, same samples, in any order and any process.
"""

import _ctypes
import contextlib
import ctypes
import threading
from collections.abc import Iterator

import espeakng_loader
import numpy as np

from emolib.errors import EmolibError

RATE, PITCH, RANGE, WORDGAP, VOLUME = 1, 3, 4, 7, 2  # parameters of :func:`synthesise`


class _Name(ctypes.Union):
    _fields_ = (("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8))


class _Event(ctypes.Structure):
    """``espeak_EVENT`` of espeak-ng's speak_lib.h."""

    _fields_ = (
        ("type", ctypes.c_int), ("unique_identifier", ctypes.c_uint), ("text_position", ctypes.c_int),
        ("length", ctypes.c_int), ("audio_position", ctypes.c_int), ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p), ("id", _Name),
    )  # fmt: skip


_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))
_RETRIEVAL, _PHONEME_EVENTS, _DONT_EXIT, _UTF8 = 1, 1, 0x8000, 1
_LIST_TERMINATED, _PHONEME = 0, 7
_IPA = 0x02  # of espeak_TextToPhonemes: IPA, no ties
_LOCK = threading.Lock()  # the library has one state a process


@contextlib.contextmanager
def _library(voice: str, events: int = 0) -> Iterator[tuple[ctypes.CDLL, int]]:
    """The library, loaded anew, with ``voice`` set; and its sampling rate."""
    with _LOCK:
        library = ctypes.CDLL(espeakng_loader.get_library_path())
        try:
            data = str(espeakng_loader.get_data_path()).encode()
            rate = library.espeak_Initialize(_RETRIEVAL, 0, data, events | _DONT_EXIT)
            library.espeak_ng_SetRandSeed(ctypes.c_long(1))
            if library.espeak_SetVoiceByName(voice.encode()):
                raise EmolibError(f"espeak-ng has no voice '{voice}'; expected e.g. en-us, en+f3 or en+m1")
            yield library, rate
        finally:
            library.espeak_Terminate()
            _ctypes.dlclose(library._handle)  # its variables start anew with the next call


def synthesise(text: str, voice: str, parameters: dict[int, int]) -> tuple[np.ndarray, int, list[tuple[str, int]]]:
    """-> int16 samples, sampling rate, [(mnemonic, sample at which it starts)]. Raises :class:`EmolibError` for an unknown voice."""
    blocks, marks = [], []

    @_Callback
    def receive(samples, n, events):
        if samples and n > 0:
            blocks.append(np.ctypeslib.as_array(samples, (n,)).copy())
        i = 0
        while events[i].type != _LIST_TERMINATED:
            if events[i].type == _PHONEME:
                marks.append((events[i].id.string.decode(errors="replace"), events[i].sample))
            i += 1
        return 0

    with _library(voice, _PHONEME_EVENTS) as (library, rate):
        library.espeak_SetSynthCallback(receive)
        for key, value in parameters.items():
            library.espeak_SetParameter(key, value, 0)
        encoded = text.encode() + b"\0"
        library.espeak_Synth(encoded, ctypes.c_size_t(len(encoded)), 0, 1, 0, _UTF8, None, None)
        library.espeak_Synchronize()
    return np.concatenate(blocks) if blocks else np.zeros(0, np.int16), rate, marks


def ipa(text: str, voice: str) -> str:
    """``text`` without punctuation in the IPA, as ``voice`` pronounces it. Raises :class:`EmolibError` for an unknown voice."""
    with _library(voice) as (library, _):
        library.espeak_TextToPhonemes.restype = ctypes.c_char_p
        kept = ctypes.create_string_buffer(text.encode())
        left, parts = ctypes.c_void_p(ctypes.addressof(kept)), []
        while left.value:  # one clause a call; it moves the pointer on
            parts.append(library.espeak_TextToPhonemes(ctypes.byref(left), _UTF8, _IPA).decode())
    return " ".join(part.strip() for part in parts)
