"""Who we are: the one place for names and the version."""

NAME = "deltaworks"
DISPLAY_NAME = "Deltaworks"
REVERSE_DNS = "io.github.deltaworks.Deltaworks"
VERSION = "0.1.0"
