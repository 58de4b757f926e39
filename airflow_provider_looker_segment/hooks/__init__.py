"""What talks to the two services: the only places that import their SDKs."""
