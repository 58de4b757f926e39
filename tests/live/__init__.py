"""Tests in a running Airflow."""
