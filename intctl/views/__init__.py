"""What every face shows: text, JSON, the metrics file and events say it alike."""
