"""Frozen judges: emotion, lips and speech, identity, perceptual distance."""
