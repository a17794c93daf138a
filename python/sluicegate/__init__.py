"""Rate limits, circuit breakers and retries for services that make or take a great many calls."""
