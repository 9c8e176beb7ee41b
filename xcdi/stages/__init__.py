"""Labelled data in, labelled data out."""
