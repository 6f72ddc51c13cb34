"""Data sets, one file each."""

from molspectra.data.datasets.minispectra import MiniSpectra

__all__ = ["MiniSpectra"]
