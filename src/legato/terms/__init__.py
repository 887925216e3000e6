"""Words that every floor above shares: keys, instants, facts, canonical bytes, errors."""
