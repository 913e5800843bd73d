"""What one agent owns; nothing in here ever mentions a second agent."""
