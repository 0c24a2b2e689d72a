"""What a user may ask for and did ask for: one model behind form, REST body and stored options."""
