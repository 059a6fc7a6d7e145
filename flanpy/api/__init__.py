"""The JSON documents of the control socket: one definition for the daemon that builds them and for those who read them.

Each document is a frozen dataclass whose fields are its JSON keys, in order; fields are only ever added. In: nothing of
flanpy. Out: the shapes, and `reading.read`, which takes a document of a daemon of another version. Must not import a
compiled module: the one-file `flanpyctl` reads documents too.
"""
