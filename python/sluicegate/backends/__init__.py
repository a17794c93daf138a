"""Where limits live outside of this machine; each backend is imported by name, with its client."""
