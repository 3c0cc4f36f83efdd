"""Send a delivery as a signed webhook or as an e-mail."""
