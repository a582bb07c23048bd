"""Machines to boot an image on: QEMU, and a firmware in this very process.  One interface for both."""
