"""What every room may use: whole files, digests, problems said, pages."""
