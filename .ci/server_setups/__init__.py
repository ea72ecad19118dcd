"""Set-ups of real HTTP servers whose clock is known, and what runs them (`.ci/servers`)."""
