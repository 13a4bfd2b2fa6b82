"""A real Grid Engine on this machine, and the tests that need one."""

PACKAGES = ("gridengine-master", "gridengine-exec", "gridengine-client")
