//! Read models: folds of the log into rows that can be dropped and rebuilt.
