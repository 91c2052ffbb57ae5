"""Files as bytes, lines and text: the one way in which prism opens what people give it."""
