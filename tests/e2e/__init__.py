"""What a person does in the browser, done by a browser."""
