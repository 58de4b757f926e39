"""The three tasks of a run: extract, identify, report."""
