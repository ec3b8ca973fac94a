//! The playbook: what is known about broken Kubernetes workloads, as pure functions from facts to findings.

pub mod facts;
