"""Published file formats, record by record: what several data sets read."""
