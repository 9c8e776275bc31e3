"""The lowest room: errors, wording, files that are whole or not there. Everything may import it; it imports nothing."""
