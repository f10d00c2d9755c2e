"""What several test files share, by purpose."""
