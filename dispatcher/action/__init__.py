"""The nouns that travel between the rooms: what is asked, what was decided, what was observed, what is answered."""
