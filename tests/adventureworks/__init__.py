"""Tests on real data, where it is at hand."""
