"""The only callers of the firmware: one short function a service."""
