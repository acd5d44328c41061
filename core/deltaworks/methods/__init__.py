"""Every method, one table a family. There is no other registry."""
