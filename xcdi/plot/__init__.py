"""Labelled data in, matplotlib axes out."""
