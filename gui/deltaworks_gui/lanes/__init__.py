"""One thread with one engine a device, the queue that feeds them, and short background work."""
