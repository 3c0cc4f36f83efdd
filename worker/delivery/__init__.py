"""How a delivery leaves: a signed webhook or an e-mail."""
