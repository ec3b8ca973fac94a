//! Every way to an MCP server leads to the same report, and losing it costs as little as it can.

mod losses;
mod matrix;
mod restarts;
