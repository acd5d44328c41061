"""What this machine holds."""
