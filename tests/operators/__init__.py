"""Tests of the operators, in real Airflow."""
