"""The pure core: no Airflow, no SDK, no socket, no clock, no randomness, no logging."""
