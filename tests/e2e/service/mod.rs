//! The whole service: alerts in at one end, messages out at the other.

mod batch;
mod causes;
mod clocks;
mod clusters;
mod doors;
mod failover;
mod fallback;
mod faults;
mod held;
mod kills;
mod main_path;
mod measured;
mod never_worse;
mod overload;
mod pace;
mod reload;
mod repeats;
mod replicas;
mod restarts;
mod secrets;
mod sequences;
mod soak;
mod storm;
