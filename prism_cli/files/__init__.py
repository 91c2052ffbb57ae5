"""Files as bytes, lines and text: the only module that opens user files."""
