"""For tests: conformance suites of the ports, and what they stand on."""
