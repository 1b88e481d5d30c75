"""What training wins back."""
