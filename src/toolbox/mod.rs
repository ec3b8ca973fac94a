//! The toolbox: the only way to a tool, and what every call passes through.

pub mod evidence;
