"""What a signed program is bound to, what is hashed, and what a receipt holds."""
