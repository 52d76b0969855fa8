"""What is at `/`: the editor, or a page that says what this server is."""
