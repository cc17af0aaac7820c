//! Rebuild, comparison and replay of the history.
