"""A model as a folder that other tools load."""
