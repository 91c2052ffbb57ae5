"""Object stores as places of inputs and outputs: objects are staged, the engine sees local files.

The only folder that imports the client library, obstore, and inside functions.
"""
