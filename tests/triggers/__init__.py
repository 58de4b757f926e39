"""Tests of what waits in the triggerer."""
