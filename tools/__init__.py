"""Tools of those who work on molspectra."""
