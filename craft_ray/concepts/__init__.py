"""Concepts: which term of an ontology a mention means. A lexicon of names, and a chain of look-ups in it."""
