"""Catalogue of files read in earlier runs: which are up to date, their names in the tables, which have vanished."""
