"""Make storyboards: tiles on sheets, and the indexes to find them."""
