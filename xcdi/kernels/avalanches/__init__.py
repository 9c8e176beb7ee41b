"""Grain-boundary avalanches: grains, events, their places and their statistics."""
