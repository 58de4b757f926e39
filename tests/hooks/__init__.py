"""Tests of what talks to the two services, over HTTP."""
