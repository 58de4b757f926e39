"""The tasks of a run: extract, identify, report, and approve where somebody is asked."""
