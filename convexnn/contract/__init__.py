"""What problems, engines and the driver agree on; it knows no family."""
