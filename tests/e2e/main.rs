//! End-to-end tests: the built program, real servers where they can be had, strict stand-ins where not.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod bad_input;
mod channels;
mod check;
mod demo;
mod deploy;
mod eval;
mod feishu_app;
mod kubernetes_mcp_server;
mod lost;
mod model;
mod service;
mod support;
mod templates;
mod transports;
