"""Commands about the networks of single containers: attach, detach, link."""
