//! The binary: everything is in the library, where it can be tested and documented.

use std::process::ExitCode;

/// The static build: musl's own allocator takes one lock for all threads.
#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> ExitCode {
    firstlook::cli::main().await
}
