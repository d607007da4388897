"""Published data sets, read from the layouts their authors distribute."""
