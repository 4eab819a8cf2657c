"""How fast imagemill is, side by side with its peers."""
