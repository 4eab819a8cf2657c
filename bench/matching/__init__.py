"""Find planted copies among photos that are not copies: ours and others', in one table."""
