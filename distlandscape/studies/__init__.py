"""Studies: configuration in, tables out; the runner logs and resumes every study alike."""
