//! Rows of Services and what stands around them.

use jiff::Timestamp;
use serde_json::Value;

use super::format::{age, count, first_three, list, name, pairs, selector, text, text_or};
use super::{Column, Printer, column, wide};

const NONE: &str = "<none>";

pub(super) fn core(kind: &str) -> Option<Printer> {
    Some(match kind {
        "Service" => Printer::new(SERVICE, service),
        "Endpoints" => Printer::new(ENDPOINTS, endpoints),
        _ => return None,
    })
}

pub(super) fn printer(kind: &str) -> Option<Printer> {
    Some(match kind {
        "Ingress" => Printer::new(INGRESS, ingress),
        "IngressClass" => Printer::new(INGRESS_CLASS, ingress_class),
        "NetworkPolicy" => Printer::new(NETWORK_POLICY, network_policy),
        "EndpointSlice" => Printer::new(ENDPOINT_SLICE, endpoint_slice),
        _ => return None,
    })
}

const SERVICE: &[Column] = &[
    column("Name"),
    column("Type"),
    column("Cluster-IP"),
    column("External-IP"),
    column("Port(s)"),
    column("Age"),
    wide("Selector"),
];

fn service(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![
        name(object),
        text(object, "/spec/type").into(),
        text_or(object, "/spec/clusterIP", NONE).into(),
        external_ip(object).into(),
        service_ports(object).into(),
        age(object, now),
        pairs(&object["spec"]["selector"]).into(),
    ]
}

fn external_ip(service: &Value) -> String {
    let extra = list(service, "/spec/externalIPs").iter().filter_map(Value::as_str).map(str::to_owned);
    match text(service, "/spec/type") {
        "ExternalName" => text(service, "/spec/externalName").to_owned(),
        "LoadBalancer" => joined(ingress_points(service).chain(extra), "<pending>"),
        _ => joined(extra, NONE),
    }
}

/// Where a load balancer answers.
fn ingress_points(object: &Value) -> impl Iterator<Item = String> {
    let points = list(object, "/status/loadBalancer/ingress").iter();
    points.map(|point| text_or(point, "/ip", text(point, "/hostname")).to_owned())
}

fn joined(parts: impl Iterator<Item = String>, absent: &str) -> String {
    let parts: Vec<String> = parts.collect();
    if parts.is_empty() { absent.to_owned() } else { parts.join(",") }
}

fn service_ports(service: &Value) -> String {
    let ports = list(service, "/spec/ports").iter().map(|port| {
        let (number, protocol) = (count(port, "/port"), text_or(port, "/protocol", "TCP"));
        match count(port, "/nodePort") {
            0 => format!("{number}/{protocol}"),
            node => format!("{number}:{node}/{protocol}"),
        }
    });
    joined(ports, NONE)
}

const ENDPOINTS: &[Column] = &[column("Name"), column("Endpoints"), column("Age")];

fn endpoints(object: &Value, now: Timestamp) -> Vec<Value> {
    let subsets = list(object, "/subsets");
    let shown = if subsets.is_empty() { NONE.to_owned() } else { first_three(&addresses(subsets)) };
    vec![name(object), shown.into(), age(object, now)]
}

fn addresses(subsets: &[Value]) -> Vec<String> {
    let mut all = Vec::new();
    for subset in subsets {
        let addresses = || list(subset, "/addresses").iter().map(|address| text(address, "/ip"));
        let ports = list(subset, "/ports");
        if ports.is_empty() {
            all.extend(addresses().map(str::to_owned));
        }
        for port in ports {
            let port = count(port, "/port");
            all.extend(
                addresses().map(|ip| if ip.contains(':') { format!("[{ip}]:{port}") } else { format!("{ip}:{port}") }),
            );
        }
    }
    all
}

const ENDPOINT_SLICE: &[Column] =
    &[column("Name"), column("AddressType"), column("Ports"), column("Endpoints"), column("Age")];

fn endpoint_slice(object: &Value, now: Timestamp) -> Vec<Value> {
    let ports: Vec<String> = list(object, "/ports")
        .iter()
        .map(|port| port["port"].as_i64().map_or_else(|| "*".to_owned(), |port| port.to_string()))
        .collect();
    let addresses = list(object, "/endpoints").iter().flat_map(|endpoint| list(endpoint, "/addresses"));
    let addresses: Vec<String> = addresses.filter_map(Value::as_str).map(str::to_owned).collect();
    let shown = |entries: &[String]| if entries.is_empty() { "<unset>".to_owned() } else { first_three(entries) };
    vec![
        name(object),
        text(object, "/addressType").into(),
        shown(&ports).into(),
        shown(&addresses).into(),
        age(object, now),
    ]
}

const INGRESS: &[Column] =
    &[column("Name"), column("Class"), column("Hosts"), column("Address"), column("Ports"), column("Age")];

fn ingress(object: &Value, now: Timestamp) -> Vec<Value> {
    let hosts = list(object, "/spec/rules").iter().map(|rule| text(rule, "/host").to_owned());
    let hosts: Vec<String> = hosts.filter(|host| !host.is_empty()).collect();
    let hosts = if hosts.is_empty() { "*".to_owned() } else { first_three(&hosts) };
    vec![
        name(object),
        text_or(object, "/spec/ingressClassName", NONE).into(),
        hosts.into(),
        joined(ingress_points(object), "").into(),
        if list(object, "/spec/tls").is_empty() { "80" } else { "80, 443" }.into(),
        age(object, now),
    ]
}

const INGRESS_CLASS: &[Column] = &[column("Name"), column("Controller"), column("Parameters"), column("Age")];

fn ingress_class(object: &Value, now: Timestamp) -> Vec<Value> {
    let parameters = &object["spec"]["parameters"];
    let group = match text(parameters, "/apiGroup") {
        "" => String::new(),
        group => format!(".{group}"),
    };
    let shown = if parameters.is_object() {
        format!("{}{group}/{}", text(parameters, "/kind"), text(parameters, "/name"))
    } else {
        NONE.to_owned()
    };
    vec![name(object), text(object, "/spec/controller").into(), shown.into(), age(object, now)]
}

const NETWORK_POLICY: &[Column] = &[column("Name"), column("Pod-Selector"), column("Age")];

fn network_policy(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![name(object), selector(&object["spec"]["podSelector"]).into(), age(object, now)]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_service_shows_where_it_can_be_reached() {
        let mut service = json!({"spec": {"type": "LoadBalancer", "ports": [
            {"port": 80, "nodePort": 30080, "protocol": "TCP"}, {"port": 53, "protocol": "UDP"}]}});
        assert_eq!(external_ip(&service), "<pending>");
        service["status"] = json!({"loadBalancer": {"ingress": [{"ip": "1.2.3.4"}, {"hostname": "lb.example.com"}]}});
        assert_eq!(external_ip(&service), "1.2.3.4,lb.example.com");
        assert_eq!(service_ports(&service), "80:30080/TCP,53/UDP");
    }

    #[test]
    fn only_three_endpoints_are_written_out() {
        let subsets =
            [json!({"addresses": [{"ip": "10.0.0.1"}, {"ip": "fd00::2"}], "ports": [{"port": 80}, {"port": 81}]})];
        assert_eq!(first_three(&addresses(&subsets)), "10.0.0.1:80,[fd00::2]:80,10.0.0.1:81 + 1 more...");
    }
}
