"""What was loaded, hashed: for a signed program to refuse, for a TPM to note, for a receipt to say."""
