"""Exports of the tables as files for other tools."""
