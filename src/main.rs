//! The binary: everything is in the library, where it can be tested and documented.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    firstlook::cli::main().await
}
