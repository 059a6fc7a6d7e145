"""The HTTP listeners: health and metrics on TCP, control on a unix socket."""
