"""Fetching of files: resumed after an interruption, checked, and put in place at once."""

from molspectra._download.fetching import download, is_offline
from molspectra._download.locking import locked

__all__ = ["download", "is_offline", "locked"]
