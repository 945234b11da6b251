"""Clips and how corpora become clips."""
