"""Compiled loops of the renderer on the CPU."""
