"""Tests of fin_lake, laid out as the package is."""
