"""Where people meet limits: HTTP clients, web servers and telemetry, a module for each.

Every module imports its framework itself and nothing else does: what you do not use need not be installed.
"""
