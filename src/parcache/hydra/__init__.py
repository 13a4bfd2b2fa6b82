"""The border to Hydra: composing, running a job the way Hydra does, and JobReturn. Nothing below knows Hydra."""
