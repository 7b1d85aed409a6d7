"""From a document's text to its entities, on one machine. Knows no Ray, no storage and no tables."""
