"""What can be decided at a record's own traffic, before there is any data: pure, and seeded where it simulates."""
