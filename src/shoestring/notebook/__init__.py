"""What Shoestring shows in a notebook."""
