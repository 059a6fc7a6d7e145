"""Point-to-point links between two containers of one host: a pair of devices with one address each.

Owns the links that root asked for (`links.json` in root's own directory), and brings them back when a container starts
again. In: Docker's documents and the news that something changed. Out: devices, addresses and routes in the
network namespaces of containers, which are entered from outside. Must not run anything in a container, follow a path
that one of its processes could replace, or take orders from a file of the service's user.
"""
