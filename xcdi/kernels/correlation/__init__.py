"""Correlation of photon frames in time: exact sums of counts first, one division at the end."""
