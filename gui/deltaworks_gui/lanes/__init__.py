"""One thread and one engine process a device, and the queue that feeds them."""
