"""Local stand-ins for Looker and Segment, to try everything without an account.

Nothing else in the package imports this.
"""
