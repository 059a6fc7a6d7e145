"""A real Prometheus inside a lab, with the rules that are shipped."""

from integration.monitoring.prometheus import RULES, Prometheus, scrape_config

__all__ = ["RULES", "Prometheus", "scrape_config"]
