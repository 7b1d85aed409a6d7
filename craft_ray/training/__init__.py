"""Making a model and measuring it: gold corpora, fine-tuning on Ray Train, evaluation, int8."""
