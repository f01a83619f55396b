//! predict.
