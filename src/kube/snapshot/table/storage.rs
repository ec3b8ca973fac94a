//! Rows of volumes, claims and classes.

use jiff::Timestamp;
use serde_json::Value;

use super::format::{age, list, name, text, text_or};
use super::{Column, Printer, column, number, wide};

const UNSET: &str = "<unset>";

pub(super) fn core(kind: &str) -> Option<Printer> {
    Some(match kind {
        "PersistentVolume" => Printer::new(VOLUME, volume),
        "PersistentVolumeClaim" => Printer::new(CLAIM, claim),
        _ => return None,
    })
}

pub(super) fn printer(kind: &str) -> Option<Printer> {
    Some(match kind {
        "StorageClass" => Printer::new(CLASS, class),
        "VolumeAttachment" => Printer::new(ATTACHMENT, attachment),
        "CSINode" => Printer::new(CSI_NODE, csi_node),
        _ => return None,
    })
}

const CLAIM: &[Column] = &[
    column("Name"),
    column("Status"),
    column("Volume"),
    column("Capacity"),
    column("Access Modes"),
    column("StorageClass"),
    column("VolumeAttributesClass"),
    column("Age"),
    wide("VolumeMode"),
];

fn claim(object: &Value, now: Timestamp) -> Vec<Value> {
    let volume = text(object, "/spec/volumeName");
    // Before it is bound a claim has neither capacity nor modes, only wishes.
    let (capacity, modes) = if volume.is_empty() {
        ("", String::new())
    } else {
        (text(object, "/status/capacity/storage"), access_modes(list(object, "/status/accessModes")))
    };
    let old_class = text(object, "/metadata/annotations/volume.beta.kubernetes.io~1storage-class");
    vec![
        name(object),
        phase(object).into(),
        volume.into(),
        capacity.into(),
        modes.into(),
        text_or(object, "/spec/storageClassName", old_class).into(),
        text_or(object, "/spec/volumeAttributesClassName", UNSET).into(),
        age(object, now),
        text_or(object, "/spec/volumeMode", UNSET).into(),
    ]
}

fn phase(object: &Value) -> &str {
    if object["metadata"]["deletionTimestamp"].is_string() { "Terminating" } else { text(object, "/status/phase") }
}

/// Access modes in their short form, always in the same order.
fn access_modes(modes: &[Value]) -> String {
    const SHORT: &[(&str, &str)] =
        &[("ReadWriteOnce", "RWO"), ("ReadOnlyMany", "ROX"), ("ReadWriteMany", "RWX"), ("ReadWriteOncePod", "RWOP")];
    let present = SHORT.iter().filter(|(mode, _)| modes.iter().any(|one| one == mode));
    present.map(|(_, short)| *short).collect::<Vec<_>>().join(",")
}

const VOLUME: &[Column] = &[
    column("Name"),
    column("Capacity"),
    column("Access Modes"),
    column("Reclaim Policy"),
    column("Status"),
    column("Claim"),
    column("StorageClass"),
    column("VolumeAttributesClass"),
    column("Reason"),
    column("Age"),
    wide("VolumeMode"),
];

fn volume(object: &Value, now: Timestamp) -> Vec<Value> {
    let claim = &object["spec"]["claimRef"];
    let claim = if claim.is_object() {
        format!("{}/{}", text(claim, "/namespace"), text(claim, "/name"))
    } else {
        String::new()
    };
    vec![
        name(object),
        text(object, "/spec/capacity/storage").into(),
        access_modes(list(object, "/spec/accessModes")).into(),
        text(object, "/spec/persistentVolumeReclaimPolicy").into(),
        phase(object).into(),
        claim.into(),
        text(object, "/spec/storageClassName").into(),
        text_or(object, "/spec/volumeAttributesClassName", UNSET).into(),
        text(object, "/status/reason").into(),
        age(object, now),
        text_or(object, "/spec/volumeMode", UNSET).into(),
    ]
}

const CLASS: &[Column] = &[
    column("Name"),
    column("Provisioner"),
    column("ReclaimPolicy"),
    column("VolumeBindingMode"),
    Column { name: "AllowVolumeExpansion", kind: "boolean", priority: 0 },
    column("Age"),
];

fn class(object: &Value, now: Timestamp) -> Vec<Value> {
    let default = text(object, "/metadata/annotations/storageclass.kubernetes.io~1is-default-class") == "true";
    let name = text(object, "/metadata/name");
    vec![
        if default { format!("{name} (default)") } else { name.to_owned() }.into(),
        text(object, "/provisioner").into(),
        text_or(object, "/reclaimPolicy", "Delete").into(),
        text_or(object, "/volumeBindingMode", "Immediate").into(),
        (object["allowVolumeExpansion"] == true).into(),
        age(object, now),
    ]
}

const ATTACHMENT: &[Column] =
    &[column("Name"), column("Attacher"), column("PV"), column("Node"), column("Attached"), column("Age")];

fn attachment(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![
        name(object),
        text(object, "/spec/attacher").into(),
        text(object, "/spec/source/persistentVolumeName").into(),
        text(object, "/spec/nodeName").into(),
        (object["status"]["attached"] == true).into(),
        age(object, now),
    ]
}

const CSI_NODE: &[Column] = &[column("Name"), number("Drivers"), column("Age")];

fn csi_node(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![name(object), list(object, "/spec/drivers").len().into(), age(object, now)]
}
