"""Labelled data in, matplotlib axes out; what a module draws is its name, what they all look like is `style`."""
