//! End-to-end tests: the built program, real servers where they can be had, strict stand-ins where not.
