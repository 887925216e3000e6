"""What users declare, as plain records: no I/O, no clock, no registry."""
