"""What people are told about keys: what differs between two of them, as values, as text and as JSON. No effects."""
