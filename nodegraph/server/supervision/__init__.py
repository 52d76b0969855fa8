"""Worker processes as the server sees them: started, watched, restarted, asked."""
