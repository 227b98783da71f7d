"""The model's part: prose for causes. It knows no SDK; what it may say is checked, what it is told is redacted."""
