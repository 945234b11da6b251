"""The face model, its renderer, landmarks and fitting: what runs with a portrait."""
