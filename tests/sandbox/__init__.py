"""Tests of the two stand-ins."""
