"""The tests mirror the package, room for room."""
