"""Cloud providers to try the backends aws-vpc and gce on: moto for AWS, a server of ours for GCE, and their faults.

Each is one process that serves the provider's API and its metadata service over HTTP. In a lab it runs in the router's
namespace and makes kernel routes of its route table, so that packets really go the provider's way. Only loopback and
addresses of the lab are served or reached.
"""
