"""The resolver: a DNS server for this host's containers. Server loop, limits and policy are here; dnspython reads."""
