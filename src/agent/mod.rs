//! The bounded loop: a model, its tools, and budgets that always hold.

pub mod tools;
