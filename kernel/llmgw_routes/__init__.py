"""What routing plugins share: names of targets, settings in them, and what is left alone for a while."""
