"""Pure functions from frame to frame: no clock, no store, no setting of their own."""
