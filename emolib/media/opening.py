"""The one place where a file is opened for reading through FFmpeg, which must take a file's name for a name and its content for media.

Left to itself FFmpeg reads ``http:/host/x.wav`` or ``concat:a|b`` as addresses, also where files of these names exist, and follows what
playlists say. Here it gets an absolute path, may use no protocol but files, and no format that names other files.
"""

import os
from pathlib import Path

import av

from emolib.errors import EmolibError
from emolib.files import check_input

PICTURES = "mov mp4 matroska webm avi flv asf mpeg mpegts mpegvideo m4v h264 hevc gif"
SOUNDS = "ogg wav w64 aiff caf au mp3 aac flac amr ac3 eac3 wv ape"
FORMATS = ",".join(f"{PICTURES} {SOUNDS}".split())


def open_media(path: str | Path, what: str, advice: str):
    """An open PyAV container; ``what`` is audio or video. :class:`EmolibError` for what is no file, or none of :data:`FORMATS`."""
    path = check_input(path, f"{what} file", advice)
    options = {"protocol_whitelist": "file", "format_whitelist": FORMATS}
    try:
        return av.open("file:" + os.path.abspath(path), container_options=options)
    except (av.error.FFmpegError, ValueError) as error:
        raise unreadable(path, what, error, advice) from None


def unreadable(path: str | Path, what: str, error: Exception, advice: str) -> EmolibError:
    """The refusal of a file that cannot be decoded."""
    reason = str(getattr(error, "strerror", None) or error)
    if "whitelist" in reason or isinstance(error, av.error.ArgumentError):
        reason = "a format that is not read"
    return EmolibError(
        f"{path} is not {'a ' if what == 'video' else ''}{what} that can be decoded ({reason}); {advice}"
    )
