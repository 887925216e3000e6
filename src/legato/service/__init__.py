"""What can be asked of Legato and done with it. Every surface goes through here."""
