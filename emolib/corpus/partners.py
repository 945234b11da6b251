"""Which clips make a source for which: pairs of one person in two emotions, HEF's and ECG's alike."""

import numpy as np


class Partners:
    """``partners[i]``: the numbers (n,), in order, of the clips that show the person of the i-th of ``clips`` in another emotion."""

    def __init__(self, clips) -> None:
        self._of: dict[str, dict[str, list[int]]] = {}
        self._who = [(clip.identity, clip.emotion) for clip in clips]
        for i, (identity, emotion) in enumerate(self._who):
            self._of.setdefault(identity, {}).setdefault(emotion, []).append(i)

    def __getitem__(self, i: int) -> np.ndarray:
        identity, shown = self._who[i]
        others = [numbers for emotion, numbers in self._of[identity].items() if emotion != shown]
        return np.sort(np.array([i for numbers in others for i in numbers], int))

    def usable(self) -> list[int]:
        """The clips that have partners."""
        return [i for i, (identity, _) in enumerate(self._who) if len(self._of[identity]) > 1]
