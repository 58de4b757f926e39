"""Tests of what a run keeps."""
