//! Arguments to calls, and nothing else.

fn main() {}
