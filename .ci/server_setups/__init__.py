"""Set-ups of real HTTP servers with known clocks, and the code that runs them (`.ci/servers`)."""
