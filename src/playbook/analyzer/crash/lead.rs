//! Lead: what the line that a process ended over leads to, where that was read: a file, a setting, who holds a port.

use k8s_openapi::api::core::v1::Pod;

use super::{file, place, port, setting};
use crate::alert::ObjectRef;
use crate::playbook::finding::{change, edit_template};
use crate::playbook::pods::ContainerView;
use crate::playbook::scene::Scene;
use crate::report::{Citation, Step};

/// The one thing behind the line.
pub(super) enum Lead {
    /// A file that a mounted ConfigMap lacks.
    File(file::Missing),
    /// The line of a mounted ConfigMap that it could not read.
    Place(place::Place),
    /// What the container was given from a ConfigMap and cannot use.
    Setting(setting::Setting),
    /// Who has the port that the process asks for.
    Port(port::Holder),
}

impl Lead {
    /// What a line leads to, where the end has this code.
    pub(super) fn of(scene: &Scene<'_>, pod: &Pod, view: &ContainerView<'_>, line: &str, code: &str) -> Option<Self> {
        let file = || file::missing(scene, pod, view, line).map(Self::File);
        let place = || place::of(scene, pod, view, line).map(Self::Place);
        let setting = || setting::of(scene, pod, view, line).map(Self::Setting);
        let port = || port::holder(scene, pod, view, line).map(Self::Port);
        file().or_else(place).or_else(setting).or_else(|| (code == "crashloop_port_in_use").then(port).flatten())
    }

    /// The code that the end has by this.
    pub(super) fn code(&self, told: &'static str) -> &'static str {
        if matches!(self, Self::Port(_)) { told } else { "crashloop_app_config_error" }
    }

    /// The ConfigMap that says what the process does not take: there it is corrected, not in the workload.
    pub(super) fn blamed(&self) -> Option<&ObjectRef> {
        match self {
            Self::Place(place) => place.blamed(),
            Self::Setting(setting) => Some(setting.map()),
            Self::File(_) | Self::Port(_) => None,
        }
    }

    /// The reason with it.
    pub(super) fn with(&self, scene: &Scene<'_>, why: &str) -> String {
        match self {
            Self::File(missing) => missing.with(scene, why),
            Self::Place(place) => place.with(scene, why),
            Self::Setting(setting) => setting.with(scene, why),
            Self::Port(holder) => holder.with(scene, why),
        }
    }

    /// Where it was read.
    pub(super) fn proof(&self, scene: &Scene<'_>) -> Option<Citation> {
        match self {
            Self::File(missing) => missing.proof(scene),
            Self::Place(place) => place.proof(),
            Self::Setting(setting) => setting.proof(scene),
            Self::Port(holder) => holder.proof(),
        }
    }

    /// What to change for it.
    pub(super) fn step(&self, scene: &Scene<'_>, workload: &ObjectRef) -> Step {
        match self {
            Self::File(missing) => missing.step(scene),
            Self::Place(place) => place.step(scene),
            Self::Setting(setting) => setting.step(scene),
            Self::Port(holder) => change(holder.remedy(scene), "", holder.edit().or_else(|| edit_template(workload))),
        }
    }
}
