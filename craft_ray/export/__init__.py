"""Tables to the files of other tools, in whole parts with a manifest."""
