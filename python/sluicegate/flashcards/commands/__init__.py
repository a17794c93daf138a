"""The commands, a module each: what may be asked, and nothing of how it is done."""
