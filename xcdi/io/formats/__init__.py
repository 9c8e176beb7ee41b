"""Detector formats: each module has list_scans, open_scan and follow."""
