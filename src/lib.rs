//! Firstlook: a true first look at every alert, before it reaches the group chat.

pub mod agent;
pub mod alert;
pub mod kube;
pub mod notify;
pub mod playbook;
pub mod report;
pub mod toolbox;
