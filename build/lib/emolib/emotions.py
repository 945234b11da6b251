"""The eight emotions in the paper's words and order, and the three levels (neutral has one)."""

EMOTIONS = ("neutral", "angry", "contempt", "disgusted", "fear", "happy", "sad", "surprised")
INTENSITIES = (1, 2, 3)
