"""Link mentions to the concepts of ontologies: a lexicon of names, and a chain of look-ups in it."""
