"""``/v1/webhooks``: the webhooks of API keys and the log of deliveries."""
