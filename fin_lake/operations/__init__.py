"""Running the platform: the work behind the command line's verbs."""
