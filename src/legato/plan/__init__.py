"""From a project, facts and a request to ordered steps with reasons. Pure: no I/O, no clock."""
